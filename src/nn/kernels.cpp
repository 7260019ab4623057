#include "nn/kernels.h"

#include "nn/kernel_tables.h"

namespace tidemill::nn {

Isa best_isa() {
#if defined(__x86_64__)
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx512 && __builtin_cpu_supports("avx512bf16")) return Isa::kAvx512Bf16;
  if (avx512) return Isa::kAvx512;
#endif
  return Isa::kPortable;
}

const Kernels<float>& f32_kernels([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::kAvx512) return kAvx512F32;
#endif
  return kPortableF32;
}

const Kernels<Bf16>& bf16_kernels([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::kAvx512Bf16) return kAvx512Bf16;
#endif
  return kPortableBf16;
}

}  // namespace tidemill::nn
