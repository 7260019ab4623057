// A model with the shape and the size of a trained one, for benches that do not look at what it answers.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace tidemill::bench {

// VGG11 for CIFAR-10 as the training step exports it, weights kept as bfloat16 (19 MB). Another seed gives
// other weights in a file of the same size.
Result<std::string> random_vgg11(uint32_t seed);

}  // namespace tidemill::bench
