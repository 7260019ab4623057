// A tensor of a state_dict: what every file format of a model is written from and read into.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tidemill::nn {

struct NamedTensor {
  std::string name;            // as PyTorch names it: "features.0.weight"
  std::vector<int64_t> shape;  // empty for a scalar
  std::vector<float> values;   // row-major, as many as the shape says
};

}  // namespace tidemill::nn
