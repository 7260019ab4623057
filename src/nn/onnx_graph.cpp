#include "nn/onnx_graph.h"

#include <bit>

#include "proto/onnx.pb.h"

namespace tidemill::nn {
namespace {

constexpr int64_t kIrVersion = 8;  // goes with opset 17
constexpr int64_t kOpset = 17;
constexpr std::string_view kBatch = "N";

// Round to nearest, ties to even; NaN stays NaN.
uint16_t to_bf16(float value) {
  auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<uint16_t>(bits >> 16 | 0x40U);
  return static_cast<uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

void set_attribute(onnx::NodeProto& node, std::string_view name, int64_t value) {
  auto* attribute = node.add_attribute();
  attribute->set_name(std::string(name));
  attribute->set_type(onnx::AttributeProto::INT);
  attribute->set_i(value);
}

void set_attribute(onnx::NodeProto& node, std::string_view name, float value) {
  auto* attribute = node.add_attribute();
  attribute->set_name(std::string(name));
  attribute->set_type(onnx::AttributeProto::FLOAT);
  attribute->set_f(value);
}

void set_attribute(onnx::NodeProto& node, std::string_view name, std::initializer_list<int64_t> values) {
  auto* attribute = node.add_attribute();
  attribute->set_name(std::string(name));
  attribute->set_type(onnx::AttributeProto::INTS);
  for (int64_t value : values) attribute->add_ints(value);
}

onnx::TensorShapeProto* declare(onnx::ValueInfoProto& value, std::string_view name) {
  value.set_name(std::string(name));
  auto* type = value.mutable_type()->mutable_tensor_type();
  type->set_elem_type(onnx::TensorProto::FLOAT);
  type->mutable_shape()->add_dim()->set_dim_param(std::string(kBatch));
  return type->mutable_shape();
}

std::string join(std::string_view layer, std::string_view part) { return fmt::format("{}.{}", layer, part); }

}  // namespace

struct OnnxGraph::State {
  onnx::ModelProto model;
  std::string last;  // the value that the next node takes
  OnnxWeights weights = OnnxWeights::kF32;

  onnx::GraphProto& graph() { return *model.mutable_graph(); }

  onnx::NodeProto& node(std::string_view op, std::string_view layer,
                        std::vector<std::string> more_inputs = {}) {
    auto& added = *graph().add_node();
    added.set_op_type(std::string(op));
    added.set_name(std::string(layer));
    added.add_input(last);
    for (std::string& input : more_inputs) added.add_input(std::move(input));
    last = join(layer, "out");
    added.add_output(last);
    return added;
  }

  std::string f32_constant(const std::string& name, std::span<const float> values,
                           std::span<const int64_t> shape) {
    auto& tensor = *graph().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto::FLOAT);
    for (int64_t extent : shape) tensor.add_dims(extent);
    tensor.set_raw_data(values.data(), values.size_bytes());
    return name;
  }

  std::string vector_constant(const std::string& name, std::span<const float> values) {
    const int64_t shape[] = {static_cast<int64_t>(values.size())};
    return f32_constant(name, values, shape);
  }

  // A large constant: f32, or bf16 with a Cast behind it.
  std::string weight_constant(const std::string& name, std::span<const float> values,
                              std::span<const int64_t> shape) {
    if (weights == OnnxWeights::kF32) return f32_constant(name, values, shape);
    auto& tensor = *graph().add_initializer();
    tensor.set_name(name + ".bf16");
    tensor.set_data_type(onnx::TensorProto::BFLOAT16);
    for (int64_t extent : shape) tensor.add_dims(extent);
    std::vector<uint16_t> rounded(values.size());
    std::transform(values.begin(), values.end(), rounded.begin(), to_bf16);
    tensor.set_raw_data(rounded.data(), rounded.size() * sizeof(uint16_t));
    auto& cast = *graph().add_node();
    cast.set_op_type("Cast");
    cast.set_name(name + ".cast");
    cast.add_input(tensor.name());
    cast.add_output(name);
    set_attribute(cast, "to", int64_t{onnx::TensorProto::FLOAT});
    return name;
  }
};

OnnxGraph::OnnxGraph(std::string_view name, std::string_view input, std::span<const int64_t> shape,
                     OnnxWeights weights)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.weights = weights;
  s.model.set_ir_version(kIrVersion);
  s.model.set_producer_name("tidemill");
  s.model.set_producer_version(TIDEMILL_VERSION);
  s.model.add_opset_import()->set_version(kOpset);
  s.graph().set_name(std::string(name));
  auto* declared = declare(*s.graph().add_input(), input);
  for (int64_t extent : shape) declared->add_dim()->set_dim_value(extent);
  s.last = input;
}

OnnxGraph::~OnnxGraph() = default;

void OnnxGraph::conv(std::string_view layer, std::span<const float> weights, std::span<const int64_t> shape,
                     std::span<const float> bias, int64_t padding) {
  State& s = *state_;
  std::vector<std::string> inputs = {s.weight_constant(join(layer, "weight"), weights, shape)};
  if (!bias.empty()) inputs.push_back(s.vector_constant(join(layer, "bias"), bias));
  auto& node = s.node("Conv", layer, std::move(inputs));
  set_attribute(node, "kernel_shape", {shape[2], shape[3]});
  set_attribute(node, "pads", {padding, padding, padding, padding});
  set_attribute(node, "strides", {1, 1});
}

void OnnxGraph::batch_norm(std::string_view layer, std::span<const float> scale, std::span<const float> shift,
                           std::span<const float> mean, std::span<const float> variance, float epsilon) {
  State& s = *state_;
  auto& node =
      s.node("BatchNormalization", layer,
             {s.vector_constant(join(layer, "weight"), scale), s.vector_constant(join(layer, "bias"), shift),
              s.vector_constant(join(layer, "running_mean"), mean),
              s.vector_constant(join(layer, "running_var"), variance)});
  set_attribute(node, "epsilon", epsilon);
}

void OnnxGraph::relu(std::string_view layer) { state_->node("Relu", layer); }

void OnnxGraph::max_pool(std::string_view layer, int64_t size, int64_t stride) {
  auto& node = state_->node("MaxPool", layer);
  set_attribute(node, "kernel_shape", {size, size});
  set_attribute(node, "strides", {stride, stride});
}

void OnnxGraph::flatten(std::string_view layer) {
  set_attribute(state_->node("Flatten", layer), "axis", int64_t{1});
}

void OnnxGraph::linear(std::string_view layer, std::span<const float> weights, int64_t out, int64_t in,
                       std::span<const float> bias) {
  State& s = *state_;
  const int64_t shape[] = {out, in};
  auto& node = s.node("Gemm", layer,
                      {s.weight_constant(join(layer, "weight"), weights, shape),
                       s.vector_constant(join(layer, "bias"), bias)});
  set_attribute(node, "transB", int64_t{1});
}

void OnnxGraph::note(std::string_view key, std::string_view value) {
  auto* entry = state_->model.add_metadata_props();
  entry->set_key(std::string(key));
  entry->set_value(std::string(value));
}

Result<std::string> OnnxGraph::finish(std::string_view output, int64_t classes) {
  State& s = *state_;
  auto& nodes = *s.graph().mutable_node();
  nodes[nodes.size() - 1].set_output(0, std::string(output));
  declare(*s.graph().add_output(), output)->add_dim()->set_dim_value(classes);
  std::string bytes;
  // Protocol buffers end at 2 GB.
  if (s.model.ByteSizeLong() > INT32_MAX || !s.model.SerializeToString(&bytes))
    return fail(Code::kInvalid, "the model is too large for one ONNX file");
  return bytes;
}

}  // namespace tidemill::nn
