// A trained net as an ONNX model: input `input` [N][3][32][32], normalised, output `output` [N][classes],
// opset 17.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "nn/model.h"
#include "nn/onnx_graph.h"

namespace tidemill::nn {

struct OnnxOptions {
  std::string graph_name = "tidemill";
  OnnxWeights weights = OnnxWeights::kF32;
  std::vector<std::pair<std::string, std::string>> metadata;
};

// Parameters are the tensors <layer>.weight, <layer>.bias (a convolution may have none), <layer>.running_mean
// and <layer>.running_var; dropout is left out. kNotFound names a missing tensor, kInvalid one of another
// shape than its layer needs.
Result<std::string> to_onnx(const NetSpec& net, std::span<const NamedTensor> tensors,
                            const OnnxOptions& options);
Result<> write_onnx(const NetSpec& net, std::span<const NamedTensor> tensors, const OnnxOptions& options,
                    const fs::path& path);

}  // namespace tidemill::nn
