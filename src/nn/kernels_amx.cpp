#include <immintrin.h>

#include "nn/kernel_tables.h"

namespace tidemill::nn {
namespace {
#include "nn/simd_avx512.h"
// After the lanes.
#include "nn/products_amx.h"
// After the products.
#include "nn/kernels_table.h"
}  // namespace

const Kernels<Bf16> kAmx = table<Bf16>();

}  // namespace tidemill::nn
