// A trained net as an ONNX model: input `input` [N][...], output `output` [N][classes], opset 17.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "nn/named_tensor.h"
#include "nn/onnx_graph.h"

namespace tidemill::nn {

enum class OnnxOp { kConv, kBatchNorm, kRelu, kMaxPool, kFlatten, kLinear };

// One layer of a chain. Its parameters are the tensors <name>.weight, <name>.bias (optional for kConv), and
// for kBatchNorm <name>.running_mean and <name>.running_var, shaped as PyTorch shapes them.
struct OnnxLayer {
  OnnxOp op;
  std::string name;
  int64_t padding = 0;  // kConv, on every side; stride 1
  int64_t size = 2;     // kMaxPool: window and stride
};

struct OnnxOptions {
  std::string graph_name = "tidemill";
  OnnxWeights weights = OnnxWeights::kF32;
  float batch_norm_epsilon = 1e-5F;
  std::vector<std::pair<std::string, std::string>> metadata;
};

// input_shape: one example's, [channels][height][width]. kNotFound names a missing tensor, kInvalid one of
// another shape than its layer needs.
Result<std::string> to_onnx(std::span<const OnnxLayer> layers, std::span<const NamedTensor> tensors,
                            std::span<const int64_t> input_shape, const OnnxOptions& options);
Result<> write_onnx(std::span<const OnnxLayer> layers, std::span<const NamedTensor> tensors,
                    std::span<const int64_t> input_shape, const OnnxOptions& options, const fs::path& path);

}  // namespace tidemill::nn
