#include "nn/export_onnx.h"

#include <map>

namespace tidemill::nn {
namespace {

class Exporter {
 public:
  Exporter(std::span<const NamedTensor> tensors, std::span<const int64_t> input_shape,
           const OnnxOptions& options)
      : graph_(options.graph_name, "input", input_shape, options.weights), options_(options) {
    for (const NamedTensor& tensor : tensors) by_name_[tensor.name] = &tensor;
    for (const auto& [key, value] : options.metadata) graph_.note(key, value);
  }

  Result<> add(const OnnxLayer& layer) {
    switch (layer.op) {
      case OnnxOp::kConv:
        return add_conv(layer);
      case OnnxOp::kBatchNorm:
        return add_batch_norm(layer);
      case OnnxOp::kLinear:
        return add_linear(layer);
      case OnnxOp::kRelu:
        graph_.relu(layer.name);
        return {};
      case OnnxOp::kMaxPool:
        graph_.max_pool(layer.name, layer.size, layer.size);
        return {};
      case OnnxOp::kFlatten:
        graph_.flatten(layer.name);
        return {};
    }
    return fail(Code::kInternal, "unknown layer kind");
  }

  Result<std::string> finish() {
    if (classes_ == 0) return fail(Code::kInvalid, "the net has no linear layer to give its output");
    return graph_.finish("output", classes_);
  }

 private:
  const NamedTensor* find(const std::string& name) const {
    auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
  }

  Result<const NamedTensor*> need(const std::string& name, size_t rank) const {
    const NamedTensor* tensor = find(name);
    if (!tensor) return fail(Code::kNotFound, "the model has no tensor '{}'", name);
    int64_t count = 1;
    for (int64_t extent : tensor->shape) count *= extent;
    if (tensor->shape.size() != rank || static_cast<size_t>(count) != tensor->values.size())
      return fail(Code::kInvalid, "tensor '{}' has the wrong shape ({} dimensions, {} values)", name,
                  tensor->shape.size(), tensor->values.size());
    return tensor;
  }

  // A vector of a layer with as many values as the layer has outputs.
  Result<std::span<const float>> vector(const std::string& name, int64_t size) const {
    const NamedTensor* tensor = TRY(need(name, 1));
    if (tensor->shape[0] != size)
      return fail(Code::kInvalid, "tensor '{}' has {} values, not {}", name, tensor->shape[0], size);
    return std::span<const float>(tensor->values);
  }

  Result<> add_conv(const OnnxLayer& layer) {
    const NamedTensor* weight = TRY(need(layer.name + ".weight", 4));
    std::span<const float> bias;
    if (find(layer.name + ".bias")) bias = TRY(vector(layer.name + ".bias", weight->shape[0]));
    graph_.conv(layer.name, weight->values, weight->shape, bias, layer.padding);
    return {};
  }

  Result<> add_batch_norm(const OnnxLayer& layer) {
    const int64_t size = TRY(need(layer.name + ".weight", 1))->shape[0];
    auto part = [&](std::string_view suffix) {
      return vector(fmt::format("{}.{}", layer.name, suffix), size);
    };
    graph_.batch_norm(layer.name, TRY(part("weight")), TRY(part("bias")), TRY(part("running_mean")),
                      TRY(part("running_var")), options_.batch_norm_epsilon);
    return {};
  }

  Result<> add_linear(const OnnxLayer& layer) {
    const NamedTensor* weight = TRY(need(layer.name + ".weight", 2));
    const int64_t out = weight->shape[0], in = weight->shape[1];
    graph_.linear(layer.name, weight->values, out, in, TRY(vector(layer.name + ".bias", out)));
    classes_ = out;
    return {};
  }

  OnnxGraph graph_;
  const OnnxOptions& options_;
  std::map<std::string, const NamedTensor*, std::less<>> by_name_;
  int64_t classes_ = 0;
};

}  // namespace

Result<std::string> to_onnx(std::span<const OnnxLayer> layers, std::span<const NamedTensor> tensors,
                            std::span<const int64_t> input_shape, const OnnxOptions& options) {
  Exporter exporter(tensors, input_shape, options);
  for (const OnnxLayer& layer : layers) TRY(exporter.add(layer));
  return exporter.finish();
}

Result<> write_onnx(std::span<const OnnxLayer> layers, std::span<const NamedTensor> tensors,
                    std::span<const int64_t> input_shape, const OnnxOptions& options, const fs::path& path) {
  return write_file_atomic(path, TRY(to_onnx(layers, tensors, input_shape, options)));
}

}  // namespace tidemill::nn
