#include "serving/predict_codec.h"

#include <google/protobuf/util/json_util.h>

#include "serving/element_fields.h"
#include "serving/status.h"

namespace tidemill::serving {

namespace {

using onnx::TensorProto;

tl::unexpected<Error> wrong(std::string_view text) {
  return tl::unexpected(ort_error(OrtCode::kInvalidArgument, text));
}

tl::unexpected<Error> wrong_size(uint64_t expected, uint64_t got) {
  return wrong(fmt::format(
      "UnpackTensor: the pre-allocated size does not match the size in proto, expected {}, got {}", expected,
      got));
}

template <class Field>
Result<> check_count(const Field& field, uint64_t count) {
  if (static_cast<uint64_t>(field.size()) == count) return {};
  return wrong_size(count, static_cast<uint64_t>(field.size()));
}

template <class Field>
Result<std::string_view> view_of(const Field& field, uint64_t count) {
  TRY(check_count(field, count));
  return same_width(field);
}

// Elements that travel in a wider field than their own type.
template <class To, class Field>
Result<std::string_view> narrow(const Field& field, uint64_t count, TensorMemory& memory) {
  TRY(check_count(field, count));
  auto bytes = narrowed<To>(field, memory);
  if (!bytes) return wrong(bytes.error().message);
  return bytes;
}

Result<std::string_view> booleans(const TensorProto& proto, uint64_t count, TensorMemory& memory) {
  TRY(check_count(proto.int32_data(), count));
  auto bytes = memory.allocate(count);
  for (uint64_t i = 0; i < count; ++i) bytes[i] = proto.int32_data(static_cast<int>(i)) != 0;
  return std::string_view(bytes.data(), bytes.size());
}

Result<std::string_view> typed_elements(const TensorProto& proto, uint64_t count, TensorMemory& memory) {
  switch (static_cast<ElementType>(proto.data_type())) {
    case ElementType::kFloat:
      return view_of(proto.float_data(), count);
    case ElementType::kDouble:
      return view_of(proto.double_data(), count);
    case ElementType::kInt32:
      return view_of(proto.int32_data(), count);
    case ElementType::kInt64:
      return view_of(proto.int64_data(), count);
    case ElementType::kUint64:
      return view_of(proto.uint64_data(), count);
    case ElementType::kUint32:
      return narrow<uint32_t>(proto.uint64_data(), count, memory);
    case ElementType::kInt8:
      return narrow<int8_t>(proto.int32_data(), count, memory);
    case ElementType::kUint8:
      return narrow<uint8_t>(proto.int32_data(), count, memory);
    case ElementType::kInt16:
      return narrow<int16_t>(proto.int32_data(), count, memory);
    case ElementType::kUint16:
    case ElementType::kFloat16:
    case ElementType::kBfloat16:
      return narrow<uint16_t>(proto.int32_data(), count, memory);
    case ElementType::kBool:
      return booleans(proto, count, memory);
    default:
      return wrong("the elements of this type have no field");
  }
}

void fill_typed(const OutputTensor& tensor, TensorProto& proto) {
  switch (tensor.type()) {
    case ElementType::kFloat:
      return widen<float>(tensor.bytes(), proto.mutable_float_data());
    case ElementType::kDouble:
      return widen<double>(tensor.bytes(), proto.mutable_double_data());
    case ElementType::kInt32:
      return widen<int32_t>(tensor.bytes(), proto.mutable_int32_data());
    case ElementType::kInt64:
      return widen<int64_t>(tensor.bytes(), proto.mutable_int64_data());
    case ElementType::kUint64:
      return widen<uint64_t>(tensor.bytes(), proto.mutable_uint64_data());
    case ElementType::kUint32:
      return widen<uint32_t>(tensor.bytes(), proto.mutable_uint64_data());
    case ElementType::kInt8:
      return widen<int8_t>(tensor.bytes(), proto.mutable_int32_data());
    case ElementType::kUint8:
    case ElementType::kBool:
      return widen<uint8_t>(tensor.bytes(), proto.mutable_int32_data());
    case ElementType::kInt16:
      return widen<int16_t>(tensor.bytes(), proto.mutable_int32_data());
    default:
      return widen<uint16_t>(tensor.bytes(), proto.mutable_int32_data());
  }
}

}  // namespace

Result<TensorView> tensor_of(std::string_view name, const TensorProto& proto, TensorMemory& memory) {
  if (proto.data_location() == TensorProto::EXTERNAL) return wrong("Server doesn't support external data.");
  TensorView view{
      name, static_cast<ElementType>(proto.data_type()), {proto.dims().begin(), proto.dims().end()}, {}, {}};
  auto count = element_count(view.dims);
  if (!count) return wrong(count.error().message);
  if (view.type == ElementType::kString) {
    if (proto.has_raw_data()) return wrong("strings cannot be given as raw data");
    TRY(check_count(proto.string_data(), *count));
    view.strings.assign(proto.string_data().begin(), proto.string_data().end());
    return view;
  }
  const size_t size = element_size(view.type);
  if (size == 0)
    return tl::unexpected(
        ort_error(OrtCode::kNotImplemented,
                  fmt::format("tensors of data type {} are not supported", proto.data_type())));
  if (!proto.has_raw_data()) {
    view.bytes = TRY(typed_elements(proto, *count, memory));
    return view;
  }
  view.bytes = proto.raw_data();
  if (view.bytes.size() != *count * size)
    return wrong(fmt::format(
        "UnpackTensor: the pre-allocated size does not match the raw data size, expected {}, got {}",
        *count * size, view.bytes.size()));
  return view;
}

Result<std::vector<TensorView>> tensors_of(const ::onnxruntime::server::PredictRequest& request,
                                           TensorMemory& memory) {
  std::vector<TensorView> views;
  for (const auto& [name, proto] : request.inputs()) views.push_back(TRY(tensor_of(name, proto, memory)));
  return views;
}

Elements response_elements(const ::onnxruntime::server::PredictRequest& request) {
  for (const auto& [name, proto] : request.inputs())
    if (!proto.has_raw_data()) return Elements::kTyped;
  return Elements::kRaw;
}

std::vector<std::string> requested_outputs(const ::onnxruntime::server::PredictRequest& request,
                                           std::span<const TensorInfo> all) {
  std::vector<std::string> names;
  for (const std::string& name : request.output_filter())
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  if (names.empty())
    for (const TensorInfo& info : all) names.push_back(info.name);
  return names;
}

void fill_response(std::span<const OutputTensor> outputs, std::span<const std::string> names,
                   Elements elements, ::onnxruntime::server::PredictResponse& response) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    const OutputTensor& tensor = outputs[i];
    TensorProto& proto = (*response.mutable_outputs())[names[i]];
    for (int64_t dim : tensor.dims()) proto.add_dims(dim);
    proto.set_data_type(static_cast<int>(tensor.type()));
    proto.set_data_location(TensorProto::DEFAULT);
    if (tensor.type() == ElementType::kString)
      for (const std::string& text : tensor.strings()) proto.add_string_data(text);
    else if (elements == Elements::kRaw)
      proto.set_raw_data(tensor.bytes().data(), tensor.bytes().size());
    else
      fill_typed(tensor, proto);
  }
}

Result<> parse_predict_json(std::string_view text, ::onnxruntime::server::PredictRequest& request) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  auto status = google::protobuf::util::JsonStringToMessage({text.data(), text.size()}, &request, options);
  if (status.ok()) return {};
  return tl::unexpected(Error{Code::kInvalid, std::string(status.message())});
}

Result<std::string> print_predict_json(const ::onnxruntime::server::PredictResponse& response) {
  std::string out;
  auto status = google::protobuf::util::MessageToJsonString(response, &out);
  if (!status.ok())
    return fail(Code::kInternal, "cannot print the response as JSON: {}", std::string(status.message()));
  return out;
}

}  // namespace tidemill::serving
