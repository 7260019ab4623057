#include "serving/v2_grpc_codec.h"

#include "serving/element_fields.h"
#include "serving/v2_codec.h"

namespace tidemill::serving {

namespace {

using inference::InferTensorContents;

template <class Field>
Result<> check_count(const Field& field, uint64_t count) {
  if (static_cast<uint64_t>(field.size()) == count) return {};
  return fail(Code::kInvalid, "contents have {} elements where the shape needs {}", field.size(), count);
}

template <class Field>
Result<std::string_view> same(const Field& field, uint64_t count) {
  TRY(check_count(field, count));
  return same_width(field);
}

template <class To, class Field>
Result<std::string_view> narrow(const Field& field, uint64_t count, TensorMemory& memory) {
  TRY(check_count(field, count));
  return narrowed<To>(field, memory);
}

Result<std::string_view> contents_of(ElementType type, const InferTensorContents& contents, uint64_t count,
                                     TensorMemory& memory) {
  switch (type) {
    case ElementType::kBool:
      return same(contents.bool_contents(), count);
    case ElementType::kInt8:
      return narrow<int8_t>(contents.int_contents(), count, memory);
    case ElementType::kInt16:
      return narrow<int16_t>(contents.int_contents(), count, memory);
    case ElementType::kInt32:
      return same(contents.int_contents(), count);
    case ElementType::kInt64:
      return same(contents.int64_contents(), count);
    case ElementType::kUint8:
      return narrow<uint8_t>(contents.uint_contents(), count, memory);
    case ElementType::kUint16:
      return narrow<uint16_t>(contents.uint_contents(), count, memory);
    case ElementType::kUint32:
      return same(contents.uint_contents(), count);
    case ElementType::kUint64:
      return same(contents.uint64_contents(), count);
    case ElementType::kFloat:
      return same(contents.fp32_contents(), count);
    case ElementType::kDouble:
      return same(contents.fp64_contents(), count);
    default:
      return fail(Code::kInvalid, "{} travels in raw_input_contents only", v2_name(type));
  }
}

Result<TensorView> typed_tensor(std::string_view name, ElementType type, std::vector<int64_t> dims,
                                const InferTensorContents& contents, TensorMemory& memory) {
  const uint64_t count = TRY(element_count(dims));
  TensorView view{name, type, std::move(dims), {}, {}};
  if (type != ElementType::kString) {
    view.bytes = TRY(contents_of(type, contents, count, memory));
    return view;
  }
  const auto& strings = contents.bytes_contents();
  TRY(check_count(strings, count));
  view.strings.assign(strings.begin(), strings.end());
  return view;
}

void fill_contents(const OutputTensor& tensor, InferTensorContents& out) {
  switch (tensor.type()) {
    case ElementType::kBool:
      return widen<bool>(tensor.bytes(), out.mutable_bool_contents());
    case ElementType::kInt8:
      return widen<int8_t>(tensor.bytes(), out.mutable_int_contents());
    case ElementType::kInt16:
      return widen<int16_t>(tensor.bytes(), out.mutable_int_contents());
    case ElementType::kInt32:
      return widen<int32_t>(tensor.bytes(), out.mutable_int_contents());
    case ElementType::kInt64:
      return widen<int64_t>(tensor.bytes(), out.mutable_int64_contents());
    case ElementType::kUint8:
      return widen<uint8_t>(tensor.bytes(), out.mutable_uint_contents());
    case ElementType::kUint16:
      return widen<uint16_t>(tensor.bytes(), out.mutable_uint_contents());
    case ElementType::kUint32:
      return widen<uint32_t>(tensor.bytes(), out.mutable_uint_contents());
    case ElementType::kUint64:
      return widen<uint64_t>(tensor.bytes(), out.mutable_uint64_contents());
    case ElementType::kFloat:
      return widen<float>(tensor.bytes(), out.mutable_fp32_contents());
    case ElementType::kDouble:
      return widen<double>(tensor.bytes(), out.mutable_fp64_contents());
    default:
      for (const std::string& text : tensor.strings()) out.add_bytes_contents(text);
  }
}

bool needs_raw(std::span<const OutputTensor> outputs) {
  for (const OutputTensor& tensor : outputs)
    if (tensor.type() == ElementType::kFloat16 || tensor.type() == ElementType::kBfloat16) return true;
  return false;
}

}  // namespace

Result<std::vector<TensorView>> tensors_of(const inference::ModelInferRequest& request,
                                           TensorMemory& memory) {
  const int raw = request.raw_input_contents_size();
  if (raw > 0 && raw != request.inputs_size())
    return fail(Code::kInvalid, "there are {} inputs but {} raw_input_contents", request.inputs_size(), raw);
  std::vector<TensorView> views;
  for (int i = 0; i < request.inputs_size(); ++i) {
    const auto& input = request.inputs(i);
    const std::string place = fmt::format("input '{}'", input.name());
    const ElementType type = from_v2_name(input.datatype());
    if (type == ElementType::kUndefined)
      return fail(Code::kInvalid, "{}: unknown datatype '{}'", place, input.datatype());
    std::vector<int64_t> dims(input.shape().begin(), input.shape().end());
    if (raw == 0) {
      views.push_back(
          TRY_IN(place, typed_tensor(input.name(), type, std::move(dims), input.contents(), memory)));
      continue;
    }
    if (input.has_contents())
      return fail(Code::kInvalid, "{} has contents although raw_input_contents are used", place);
    views.push_back(
        TRY(raw_tensor(input.name(), type, std::move(dims), request.raw_input_contents(i), memory)));
  }
  return views;
}

std::vector<std::string> requested_outputs(const inference::ModelInferRequest& request,
                                           std::span<const TensorInfo> all) {
  std::vector<std::string> names;
  for (const auto& output : request.outputs())
    if (std::find(names.begin(), names.end(), output.name()) == names.end()) names.push_back(output.name());
  if (names.empty())
    for (const TensorInfo& info : all) names.push_back(info.name);
  return names;
}

void fill_response(std::span<const OutputTensor> outputs, std::span<const std::string> names,
                   const inference::ModelInferRequest& request, inference::ModelInferResponse& response) {
  const bool raw = request.raw_input_contents_size() > 0 || needs_raw(outputs);
  response.set_id(request.id());
  for (size_t i = 0; i < outputs.size(); ++i) {
    const OutputTensor& tensor = outputs[i];
    auto* out = response.add_outputs();
    out->set_name(names[i]);
    out->set_datatype(std::string(v2_name(tensor.type())));
    for (int64_t dim : tensor.dims()) out->add_shape(dim);
    if (!raw)
      fill_contents(tensor, *out->mutable_contents());
    else if (tensor.type() == ElementType::kString)
      append_bytes_tensor(tensor.strings(), *response.add_raw_output_contents());
    else
      response.add_raw_output_contents(tensor.bytes().data(), tensor.bytes().size());
  }
}

}  // namespace tidemill::serving
