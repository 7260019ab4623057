// The tables that each instruction set's source defines.
#pragma once

#include "nn/kernels.h"

namespace tidemill::nn {

extern const Kernels<float> kPortableF32;
extern const Kernels<Bf16> kPortableBf16;
extern const Kernels<float> kAvx512F32;
extern const Kernels<Bf16> kAvx512Bf16;
extern const Kernels<Bf16> kAmx;

}  // namespace tidemill::nn
