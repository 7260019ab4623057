// Fills the first layer's input from bytes: normalised, optionally flipped and shifted.
#pragma once

#include <span>

#include "nn/kernels.h"
#include "nn/trainer.h"

namespace tidemill::nn {

// out: [batch][3][32][32]. Images past the end of indices repeat the last one. Draws depend on seed, step and
// the place in the batch.
template <class T>
void fill_batch(const Dataset& data, std::span<const uint32_t> indices, int batch, Augment augment,
                uint64_t seed, uint64_t step, const Kernels<T>& kernels, T* out);

}  // namespace tidemill::nn
