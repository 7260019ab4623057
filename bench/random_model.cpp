#include "random_model.h"

#include <cmath>
#include <random>

#include "nn/export_onnx.h"

namespace tidemill::bench {
namespace {

class Maker {
 public:
  explicit Maker(uint32_t seed) : random_(seed) {}

  // Weights as He et al. start them: every layer gives numbers of about the same spread.
  void weights(const std::string& layer, std::vector<int64_t> shape) {
    int64_t count = 1;
    for (int64_t extent : shape) count *= extent;
    const int64_t inputs = count / shape[0];
    std::normal_distribution<float> normal(0, std::sqrt(2 / static_cast<float>(inputs)));
    nn::NamedTensor& tensor = add(layer + ".weight", std::move(shape), 0);
    for (float& value : tensor.values) value = normal(random_);
  }
  void vector(const std::string& name, int size, float value) { add(name, {size}, value); }
  const std::vector<nn::NamedTensor>& tensors() const { return tensors_; }

 private:
  nn::NamedTensor& add(std::string name, std::vector<int64_t> shape, float value) {
    size_t count = 1;
    for (int64_t extent : shape) count *= static_cast<size_t>(extent);
    tensors_.push_back({std::move(name), std::move(shape), std::vector<float>(count, value)});
    return tensors_.back();
  }

  std::mt19937 random_;
  std::vector<nn::NamedTensor> tensors_;
};

}  // namespace

Result<std::string> random_vgg11(uint32_t seed) {
  const nn::NetSpec net = TRY(nn::make_net(nn::ModelType::kVgg11, 10));
  Maker maker(seed);
  for (const nn::Layer& layer : net.layers) {
    if (layer.kind == nn::LayerKind::kConv)
      maker.weights(layer.name, {layer.out, layer.in, layer.kernel, layer.kernel});
    if (layer.kind == nn::LayerKind::kLinear) maker.weights(layer.name, {layer.out, layer.in});
    if (layer.kind == nn::LayerKind::kLinear || layer.kind == nn::LayerKind::kBatchNorm)
      maker.vector(layer.name + ".bias", layer.out, 0);
    if (layer.kind != nn::LayerKind::kBatchNorm) continue;
    maker.vector(layer.name + ".weight", layer.out, 1);
    maker.vector(layer.name + ".running_mean", layer.out, 0);
    maker.vector(layer.name + ".running_var", layer.out, 1);
  }
  nn::OnnxOptions options;
  options.weights = nn::OnnxWeights::kBf16;
  return nn::to_onnx(net, maker.tensors(), options);
}

}  // namespace tidemill::bench
