// What a net is and how its parameters are exchanged: no computing here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "nn/named_tensor.h"

namespace tidemill::nn {

enum class ModelType { kSimple, kVgg11, kVgg16 };
std::string_view to_string(ModelType type);
// "simple", "vgg11", "vgg16".
Result<ModelType> parse_model_type(std::string_view text);

enum class LayerKind { kConv, kBatchNorm, kRelu, kMaxPool, kFlatten, kDropout, kLinear };

// One module of nn.Sequential, with the name it has there. kFlatten stands between `features` and
// `classifier`.
struct Layer {
  LayerKind kind;
  std::string name;
  int in = 0;  // channels or features; equal to out where the layer keeps them
  int out = 0;
  int kernel = 0;   // kConv, kMaxPool (stride 1 for kConv, stride = kernel for kMaxPool)
  int padding = 0;  // kConv, zeros
};

// A chain: images [N][3][32][32] -> logits [N][classes]. PyTorch's module is
//   nn.Sequential(OrderedDict(features=nn.Sequential(...), flatten=nn.Flatten(),
//   classifier=nn.Sequential(...))).
struct NetSpec {
  ModelType type = ModelType::kVgg11;
  int classes = 10;
  std::vector<Layer> layers;

  static constexpr int kChannels = 3;
  static constexpr int kImageSize = 32;
};

inline constexpr float kBatchNormEpsilon = 1e-5F;

// Normalisation of pixel / 255, by channel; the same in training, evaluation and serving.
inline constexpr float kMean[3] = {0.4914F, 0.4822F, 0.4465F};
inline constexpr float kStd[3] = {0.2470F, 0.2435F, 0.2616F};

// kInvalid unless classes is 10 or 100.
Result<NetSpec> make_net(ModelType type, int classes);

}  // namespace tidemill::nn
