#include "serving/test_model.h"

#include "proto/onnx.pb.h"

namespace tidemill::serving {

namespace {

constexpr float kBias[3] = {0.5f, -1.0f, 2.0f};
float weight(int row, int column) { return static_cast<float>(row - column) * 0.25f; }

void describe(onnx::ValueInfoProto* info, const std::string& name, int type,
              const std::vector<std::string>& shape) {
  info->set_name(name);
  auto* tensor = info->mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(type);
  tensor->mutable_shape();
  for (const std::string& dim : shape) {
    auto* out = tensor->mutable_shape()->add_dim();
    if (isdigit(dim[0]))
      out->set_dim_value(std::stoi(dim));
    else
      out->set_dim_param(dim);
  }
}

void node(onnx::GraphProto* graph, const std::string& op, const std::vector<std::string>& in,
          const std::vector<std::string>& out) {
  auto* added = graph->add_node();
  added->set_op_type(op);
  for (const std::string& name : in) added->add_input(name);
  for (const std::string& name : out) added->add_output(name);
}

onnx::ModelProto model() {
  onnx::ModelProto out;
  out.set_ir_version(8);
  out.add_opset_import()->set_version(13);
  out.mutable_graph()->set_name("test");
  return out;
}

}  // namespace

std::array<float, 3> gemm(const std::array<float, 4>& x) {
  std::array<float, 3> y{};
  for (int j = 0; j < 3; ++j) {
    y[j] = kBias[j];
    for (int i = 0; i < 4; ++i) y[j] += x[i] * weight(i, j);
  }
  return y;
}

std::string gemm_model() {
  onnx::ModelProto out = model();
  onnx::GraphProto* graph = out.mutable_graph();
  describe(graph->add_input(), "input", 1, {"batch", "4"});
  describe(graph->add_output(), "output", 1, {"batch", "3"});
  node(graph, "Gemm", {"input", "weight", "bias"}, {"output"});
  auto* w = graph->add_initializer();
  w->set_name("weight");
  w->set_data_type(1);
  w->add_dims(4);
  w->add_dims(3);
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 3; ++j) w->add_float_data(weight(i, j));
  auto* b = graph->add_initializer();
  b->set_name("bias");
  b->set_data_type(1);
  b->add_dims(3);
  for (float value : kBias) b->add_float_data(value);
  return out.SerializeAsString();
}

std::string identity_model(ElementType type) {
  onnx::ModelProto out = model();
  describe(out.mutable_graph()->add_input(), "input", static_cast<int>(type), {"n"});
  describe(out.mutable_graph()->add_output(), "output", static_cast<int>(type), {"n"});
  node(out.mutable_graph(), "Identity", {"input"}, {"output"});
  return out.SerializeAsString();
}

std::string loop_model() {
  onnx::ModelProto out = model();
  onnx::GraphProto* graph = out.mutable_graph();
  describe(graph->add_input(), "trips", 7, {"1"});
  describe(graph->add_output(), "output", 1, {"1"});
  for (float value : {0.0f, 1.0f}) {
    auto* tensor = graph->add_initializer();
    tensor->set_name(value == 0 ? "zero" : "one");
    tensor->set_data_type(onnx::TensorProto::FLOAT);
    tensor->add_dims(1);
    tensor->add_float_data(value);
  }
  auto* yes = graph->add_initializer();
  yes->set_name("yes");
  yes->set_data_type(onnx::TensorProto::BOOL);
  yes->add_int32_data(1);
  node(graph, "Loop", {"trips", "yes", "zero"}, {"output"});
  auto* body = graph->mutable_node(0)->add_attribute();
  body->set_name("body");
  body->set_type(onnx::AttributeProto::GRAPH);
  body->mutable_g()->set_name("body");
  describe(body->mutable_g()->add_input(), "i", 7, {});
  describe(body->mutable_g()->add_input(), "go", 9, {});
  describe(body->mutable_g()->add_input(), "before", 1, {"1"});
  describe(body->mutable_g()->add_output(), "go_on", 9, {});
  describe(body->mutable_g()->add_output(), "after", 1, {"1"});
  node(body->mutable_g(), "Identity", {"go"}, {"go_on"});
  node(body->mutable_g(), "Add", {"before", "one"}, {"after"});
  return out.SerializeAsString();
}

ModelFile::ModelFile(const std::string& bytes)
    : dir_(TempDir::create().value()), path_(dir_.path() / "model.onnx") {
  if (auto written = write_file_atomic(path_, bytes, Durable::no); !written)
    throw std::runtime_error(written.error().message);
}

}  // namespace tidemill::serving
