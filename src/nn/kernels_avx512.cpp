#include <immintrin.h>

#include "nn/kernel_tables.h"

namespace tidemill::nn {
namespace {
#include "nn/simd_avx512.h"
// After the lanes.
#include "nn/products_lanes.h"
// After the products.
#include "nn/kernels_table.h"
}  // namespace

const Kernels<float> kAvx512F32 = table<float>();

}  // namespace tidemill::nn
