#include "nn/export_onnx.h"

#include <map>

namespace tidemill::nn {
namespace {

constexpr int64_t kInputShape[] = {NetSpec::kChannels, NetSpec::kImageSize, NetSpec::kImageSize};

class Exporter {
 public:
  Exporter(const NetSpec& net, std::span<const NamedTensor> tensors, const OnnxOptions& options)
      : graph_(options.graph_name, "input", kInputShape, options.weights), classes_(net.classes) {
    for (const NamedTensor& tensor : tensors) by_name_[tensor.name] = &tensor;
    for (const auto& [key, value] : options.metadata) graph_.note(key, value);
  }

  Result<> add(const Layer& layer) {
    switch (layer.kind) {
      case LayerKind::kConv:
        return add_conv(layer);
      case LayerKind::kBatchNorm:
        return add_batch_norm(layer);
      case LayerKind::kLinear:
        return add_linear(layer);
      case LayerKind::kRelu:
        graph_.relu(layer.name);
        break;
      case LayerKind::kMaxPool:
        graph_.max_pool(layer.name, layer.kernel, layer.kernel);
        break;
      case LayerKind::kFlatten:
        graph_.flatten(layer.name);
        break;
      case LayerKind::kDropout:
        break;
    }
    return {};
  }

  Result<std::string> finish() { return graph_.finish("output", classes_); }

 private:
  const NamedTensor* find(const std::string& name) const {
    auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
  }

  Result<std::span<const float>> need(const std::string& name, std::span<const int64_t> shape) const {
    const NamedTensor* tensor = find(name);
    if (!tensor) return fail(Code::kNotFound, "the model has no tensor '{}'", name);
    int64_t count = 1;
    for (int64_t extent : shape) count *= extent;
    if (!std::equal(shape.begin(), shape.end(), tensor->shape.begin(), tensor->shape.end()) ||
        static_cast<size_t>(count) != tensor->values.size())
      return fail(Code::kInvalid, "tensor '{}' has the shape [{}], not [{}]", name,
                  fmt::join(tensor->shape, ", "), fmt::join(shape, ", "));
    return std::span<const float>(tensor->values);
  }

  // One value for each output of the layer.
  Result<std::span<const float>> vector(const Layer& layer, std::string_view part) const {
    const int64_t shape[] = {layer.out};
    return need(fmt::format("{}.{}", layer.name, part), shape);
  }

  Result<> add_conv(const Layer& layer) {
    const int64_t shape[] = {layer.out, layer.in, layer.kernel, layer.kernel};
    auto weight = TRY(need(layer.name + ".weight", shape));
    std::span<const float> bias;
    if (find(layer.name + ".bias")) bias = TRY(vector(layer, "bias"));
    graph_.conv(layer.name, weight, shape, bias, layer.padding);
    return {};
  }

  Result<> add_batch_norm(const Layer& layer) {
    graph_.batch_norm(layer.name, TRY(vector(layer, "weight")), TRY(vector(layer, "bias")),
                      TRY(vector(layer, "running_mean")), TRY(vector(layer, "running_var")),
                      kBatchNormEpsilon);
    return {};
  }

  Result<> add_linear(const Layer& layer) {
    const int64_t shape[] = {layer.out, layer.in};
    auto weight = TRY(need(layer.name + ".weight", shape));
    graph_.linear(layer.name, weight, layer.out, layer.in, TRY(vector(layer, "bias")));
    return {};
  }

  OnnxGraph graph_;
  std::map<std::string, const NamedTensor*, std::less<>> by_name_;
  int64_t classes_;
};

}  // namespace

Result<std::string> to_onnx(const NetSpec& net, std::span<const NamedTensor> tensors,
                            const OnnxOptions& options) {
  Exporter exporter(net, tensors, options);
  for (const Layer& layer : net.layers) TRY(exporter.add(layer));
  return exporter.finish();
}

Result<> write_onnx(const NetSpec& net, std::span<const NamedTensor> tensors, const OnnxOptions& options,
                    const fs::path& path) {
  return write_file_atomic(path, TRY(to_onnx(net, tensors, options)));
}

}  // namespace tidemill::nn
