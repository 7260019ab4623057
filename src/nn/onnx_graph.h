// Builds an ONNX model of a chain of layers: each call adds the node that takes the last one's output.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidemill::nn {

enum class OnnxWeights {
  kF32,
  // Weights rounded to bfloat16 and cast back to f32 by the graph: half the size. A runtime folds the casts
  // at load.
  kBf16,
};

class OnnxGraph {
 public:
  // shape: one example's, without the batch.
  OnnxGraph(std::string_view name, std::string_view input, std::span<const int64_t> shape,
            OnnxWeights weights);
  ~OnnxGraph();

  // Parameters stay f32 where they are few (biases, normalisation); matrices and filters follow OnnxWeights.
  void conv(std::string_view layer, std::span<const float> weights, std::span<const int64_t> shape,
            std::span<const float> bias, int64_t padding);
  void batch_norm(std::string_view layer, std::span<const float> scale, std::span<const float> shift,
                  std::span<const float> mean, std::span<const float> variance, float epsilon);
  void relu(std::string_view layer);
  void max_pool(std::string_view layer, int64_t size, int64_t stride);
  void flatten(std::string_view layer);
  // weights: [out][in], as PyTorch's Linear.
  void linear(std::string_view layer, std::span<const float> weights, int64_t out, int64_t in,
              std::span<const float> bias);
  void note(std::string_view key, std::string_view value);  // metadata of the model

  // Ends the chain: the last node's output becomes `output` of [N][classes]. The serialised ModelProto.
  Result<std::string> finish(std::string_view output, int64_t classes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tidemill::nn
