#include "nn/kernel_tables.h"

namespace tidemill::nn {
namespace {
#include "nn/simd_portable.h"
// After the lanes.
#include "nn/products_lanes.h"
// After the products.
#include "nn/kernels_table.h"
}  // namespace

const Kernels<float> kPortableF32 = table<float>();
const Kernels<Bf16> kPortableBf16 = table<Bf16>();

}  // namespace tidemill::nn
