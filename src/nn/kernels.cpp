#include "nn/kernels.h"

#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "nn/kernel_tables.h"

namespace tidemill::nn {

#if defined(__x86_64__)
namespace {

// Linux gives the tiles' state, 8 KiB a thread, to processes that ask for it
// (Documentation/arch/x86/xstate.rst).
bool may_use_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

Isa detect() {
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (!avx512) return Isa::kPortable;
  if (!__builtin_cpu_supports("avx512bf16")) return Isa::kAvx512;
  return may_use_tiles() ? Isa::kAmx : Isa::kAvx512Bf16;
}

}  // namespace
#endif

Isa best_isa() {
#if defined(__x86_64__)
  static const Isa best = detect();
  return best;
#else
  return Isa::kPortable;
#endif
}

const Kernels<float>& f32_kernels([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::kAvx512) return kAvx512F32;
#endif
  return kPortableF32;
}

const Kernels<Bf16>& bf16_kernels([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::kAmx) return kAmx;
  if (isa >= Isa::kAvx512Bf16) return kAvx512Bf16;
#endif
  return kPortableBf16;
}

}  // namespace tidemill::nn
