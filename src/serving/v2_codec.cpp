#include "serving/v2_codec.h"

#include <cmath>
#include <limits>

namespace tidemill::serving {

namespace {

using nlohmann::json;

// nlohmann's parser does not recurse, but our walk over "data" does.
Result<> check_depth(std::string_view text) {
  constexpr int kMost = 64;
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMost) return fail(Code::kInvalid, "the request is nested deeper than {} levels", kMost);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return {};
}

Result<json> parse_document(std::string_view text) {
  TRY(check_depth(text));
  try {
    json document = json::parse(text.begin(), text.end());
    if (!document.is_object()) return fail(Code::kInvalid, "the request must be a JSON object");
    return document;
  } catch (const json::parse_error& e) {
    return fail(Code::kInvalid, "the request is not valid JSON at byte {}", e.byte);
  } catch (const json::exception& e) {
    return fail(Code::kInvalid, "the request is not valid JSON: {}", e.what());
  }
}

const json* member(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  auto it = object.find(key);
  return it == object.end() ? nullptr : &*it;
}

Result<std::string> string_member(const json& object, const char* key) {
  const json* value = member(object, key);
  if (!value || !value->is_string()) return fail(Code::kInvalid, "'{}' is missing or not a string", key);
  return value->get<std::string>();
}

bool flag_parameter(const json& object, const char* key, bool fallback) {
  const json* parameters = member(object, "parameters");
  const json* value = parameters ? member(*parameters, key) : nullptr;
  return value && value->is_boolean() ? value->get<bool>() : fallback;
}

std::optional<int64_t> int_parameter(const json& object, const char* key) {
  const json* parameters = member(object, "parameters");
  const json* value = parameters ? member(*parameters, key) : nullptr;
  if (!value || !value->is_number_integer()) return std::nullopt;
  return value->get<int64_t>();
}

Result<std::vector<int64_t>> shape_of(const json& input) {
  const json* shape = member(input, "shape");
  if (!shape || !shape->is_array()) return fail(Code::kInvalid, "'shape' is missing or not an array");
  std::vector<int64_t> dims;
  for (const json& dim : *shape) {
    if (!dim.is_number_integer() || (dim.is_number_unsigned() && dim.get<uint64_t>() > INT64_MAX))
      return fail(Code::kInvalid, "'shape' must hold integers");
    dims.push_back(dim.get<int64_t>());
  }
  return dims;
}

template <class T>
bool convert(const json& value, T& out) {
  if constexpr (std::is_floating_point_v<T>) {
    if (!value.is_number()) return false;
    out = static_cast<T>(value.get<double>());
    return true;
  } else {
    if (value.is_number_unsigned()) {
      if (!std::in_range<T>(value.get<uint64_t>())) return false;
      out = static_cast<T>(value.get<uint64_t>());
      return true;
    }
    if (!value.is_number_integer() || !std::in_range<T>(value.get<int64_t>())) return false;
    out = static_cast<T>(value.get<int64_t>());
    return true;
  }
}

struct JsonBool {
  bool value;
};
bool convert(const json& value, JsonBool& out) {
  uint8_t number = 2;
  if (value.is_boolean())
    out.value = value.get<bool>();
  else if (convert(value, number) && number < 2)
    out.value = number == 1;
  else
    return false;
  return true;
}

// The elements of "data", nested or flat, in order.
template <class Visit>
Result<> each_element(const json& data, Visit&& visit) {
  if (!data.is_array()) return visit(data);
  for (const json& item : data) TRY(each_element(item, visit));
  return {};
}

uint64_t elements_in(const json& data) {
  if (!data.is_array()) return 1;
  uint64_t count = 0;
  for (const json& item : data) count += elements_in(item);
  return count;
}

// `data` has `count` elements.
template <class T>
Result<std::string_view> json_elements(const json& data, uint64_t count, TensorMemory& memory) {
  static_assert(std::is_trivially_copyable_v<T>);
  auto bytes = memory.allocate(count * sizeof(T));
  uint64_t i = 0;
  TRY(each_element(data, [&](const json& item) -> Result<> {
    T value{};
    if (!convert(item, value))
      return fail(Code::kInvalid, "element {} of 'data' does not fit its datatype", i);
    std::memcpy(bytes.data() + i++ * sizeof(T), &value, sizeof(T));
    return {};
  }));
  return std::string_view(bytes.data(), bytes.size());
}

Result<std::vector<std::string_view>> json_strings(const json& data) {
  std::vector<std::string_view> out;
  TRY(each_element(data, [&](const json& item) -> Result<> {
    if (!item.is_string()) return fail(Code::kInvalid, "element {} of 'data' is not a string", out.size());
    out.push_back(item.get_ref<const std::string&>());
    return {};
  }));
  return out;
}

Result<std::string_view> numbers_of(ElementType type, const json& data, uint64_t count,
                                    TensorMemory& memory) {
  switch (type) {
    case ElementType::kFloat:
      return json_elements<float>(data, count, memory);
    case ElementType::kDouble:
      return json_elements<double>(data, count, memory);
    case ElementType::kInt8:
      return json_elements<int8_t>(data, count, memory);
    case ElementType::kInt16:
      return json_elements<int16_t>(data, count, memory);
    case ElementType::kInt32:
      return json_elements<int32_t>(data, count, memory);
    case ElementType::kInt64:
      return json_elements<int64_t>(data, count, memory);
    case ElementType::kUint8:
      return json_elements<uint8_t>(data, count, memory);
    case ElementType::kUint16:
      return json_elements<uint16_t>(data, count, memory);
    case ElementType::kUint32:
      return json_elements<uint32_t>(data, count, memory);
    case ElementType::kUint64:
      return json_elements<uint64_t>(data, count, memory);
    case ElementType::kBool:
      return json_elements<JsonBool>(data, count, memory);
    default:
      return fail(Code::kInvalid, "{} can only be sent as binary data", v2_name(type));
  }
}

Result<TensorView> json_tensor(std::string_view name, ElementType type, std::vector<int64_t> dims,
                               const json& data, TensorMemory& memory) {
  const uint64_t count = TRY(element_count(dims));
  // Compared before anything is allocated: a small body can claim a huge shape.
  if (uint64_t have = elements_in(data); have != count)
    return fail(Code::kInvalid, "'data' has {} elements where its shape needs {}", have, count);
  TensorView view{name, type, std::move(dims), {}, {}};
  if (type == ElementType::kString)
    view.strings = TRY(json_strings(data));
  else
    view.bytes = TRY(numbers_of(type, data, count, memory));
  return view;
}

// One entry of "inputs"; takes its part of the binary data from the front of `binary`.
Result<TensorView> input_of(const json& input, std::string_view& binary, V2Request& request) {
  request.names.push_back(TRY(string_member(input, "name")));
  const std::string& name = request.names.back();
  const std::string datatype = TRY_IN("input '" + name + "'", string_member(input, "datatype"));
  const ElementType type = from_v2_name(datatype);
  if (type == ElementType::kUndefined)
    return fail(Code::kInvalid, "input '{}': unknown datatype '{}'", name, datatype);
  std::vector<int64_t> dims = TRY_IN("input '" + name + "'", shape_of(input));
  if (auto size = int_parameter(input, "binary_data_size")) {
    if (*size < 0 || static_cast<uint64_t>(*size) > binary.size())
      return fail(Code::kInvalid, "input '{}': binary_data_size is {}, but {} bytes are left", name, *size,
                  binary.size());
    std::string_view bytes = binary.substr(0, static_cast<size_t>(*size));
    binary.remove_prefix(bytes.size());
    return raw_tensor(name, type, std::move(dims), bytes, request.memory);
  }
  const json* data = member(input, "data");
  if (!data) return fail(Code::kInvalid, "input '{}' has neither 'data' nor binary data", name);
  return TRY_IN("input '" + name + "'", json_tensor(name, type, std::move(dims), *data, request.memory));
}

// The body is the model's only input, as bytes; its one variable dimension follows from their number.
Result<> parse_raw_request(std::string_view body, std::span<const TensorInfo> inputs, V2Request& request) {
  if (inputs.size() != 1)
    return fail(Code::kInvalid, "a raw request needs a model with one input; this one has {}", inputs.size());
  const TensorInfo& info = inputs[0];
  if (info.type == ElementType::kString) return fail(Code::kInvalid, "a raw request cannot carry strings");
  std::vector<int64_t> dims = info.shape;
  auto variable = std::find(dims.begin(), dims.end(), -1);
  if (variable != dims.end()) {
    if (std::find(variable + 1, dims.end(), -1) != dims.end())
      return fail(Code::kInvalid, "a raw request needs an input with at most one variable dimension");
    *variable = 1;
    const uint64_t one = TRY(element_count(dims)) * element_size(info.type);
    if (one == 0 || body.size() % one != 0)
      return fail(Code::kInvalid, "the body has {} bytes, which is no multiple of {}", body.size(), one);
    *variable = static_cast<int64_t>(body.size() / one);
  }
  request.inputs.push_back(TRY(raw_tensor(info.name, info.type, std::move(dims), body, request.memory)));
  return {};
}

Result<> parse_outputs(V2Request& request, std::span<const TensorInfo> model_outputs, bool binary_default) {
  auto kind = [](bool binary) { return binary ? V2Data::kBinary : V2Data::kJson; };
  const json* outputs = member(request.document, "outputs");
  if (outputs && !outputs->is_array()) return fail(Code::kInvalid, "'outputs' is not an array");
  if (outputs)
    for (const json& output : *outputs)
      request.outputs.push_back(
          {TRY(string_member(output, "name")), kind(flag_parameter(output, "binary_data", binary_default))});
  for (size_t i = 0; i < request.outputs.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (request.outputs[i].name == request.outputs[j].name)
        return fail(Code::kInvalid, "output '{}' is asked for twice", request.outputs[i].name);
  if (request.outputs.empty())
    for (const TensorInfo& info : model_outputs) request.outputs.push_back({info.name, kind(binary_default)});
  return {};
}

std::string json_text(std::string_view text) {
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

template <class T>
void append_numbers(std::string_view bytes, std::string& out) {
  const T* values = reinterpret_cast<const T*>(bytes.data());
  const size_t count = bytes.size() / sizeof(T);
  for (size_t i = 0; i < count; ++i) {
    if (i) out += ',';
    if constexpr (std::is_floating_point_v<T>)
      if (!std::isfinite(values[i])) {
        out += "null";
        continue;
      }
    fmt::format_to(std::back_inserter(out), "{}", values[i]);
  }
}

Result<> append_data(const OutputTensor& tensor, std::string& out) {
  switch (tensor.type()) {
    case ElementType::kFloat:
      append_numbers<float>(tensor.bytes(), out);
      break;
    case ElementType::kDouble:
      append_numbers<double>(tensor.bytes(), out);
      break;
    case ElementType::kInt8:
      append_numbers<int8_t>(tensor.bytes(), out);
      break;
    case ElementType::kInt16:
      append_numbers<int16_t>(tensor.bytes(), out);
      break;
    case ElementType::kInt32:
      append_numbers<int32_t>(tensor.bytes(), out);
      break;
    case ElementType::kInt64:
      append_numbers<int64_t>(tensor.bytes(), out);
      break;
    case ElementType::kUint8:
      append_numbers<uint8_t>(tensor.bytes(), out);
      break;
    case ElementType::kUint16:
      append_numbers<uint16_t>(tensor.bytes(), out);
      break;
    case ElementType::kUint32:
      append_numbers<uint32_t>(tensor.bytes(), out);
      break;
    case ElementType::kUint64:
      append_numbers<uint64_t>(tensor.bytes(), out);
      break;
    case ElementType::kBool:
      append_numbers<bool>(tensor.bytes(), out);
      break;
    case ElementType::kString:
      for (size_t i = 0; i < tensor.strings().size(); ++i)
        out += (i ? "," : "") + json_text(tensor.strings()[i]);
      break;
    default:
      return fail(Code::kInvalid, "{} outputs can only be sent as binary data; ask for it with binary_data",
                  v2_name(tensor.type()));
  }
  return {};
}

}  // namespace

Result<std::vector<std::string_view>> split_bytes_tensor(std::string_view raw, uint64_t count) {
  std::vector<std::string_view> out;
  while (!raw.empty()) {
    uint32_t length = 0;
    if (raw.size() < sizeof length) return fail(Code::kInvalid, "BYTES data ends inside a length");
    std::memcpy(&length, raw.data(), sizeof length);
    raw.remove_prefix(sizeof length);
    if (raw.size() < length)
      return fail(Code::kInvalid, "BYTES element {} says {} bytes, but {} are left", out.size(), length,
                  raw.size());
    out.push_back(raw.substr(0, length));
    raw.remove_prefix(length);
  }
  if (out.size() != count)
    return fail(Code::kInvalid, "BYTES data has {} elements where its shape needs {}", out.size(), count);
  return out;
}

void append_bytes_tensor(std::span<const std::string> strings, std::string& out) {
  for (const std::string& text : strings) {
    const auto length = static_cast<uint32_t>(text.size());
    out.append(reinterpret_cast<const char*>(&length), sizeof length);
    out += text;
  }
}

Result<TensorView> raw_tensor(std::string_view name, ElementType type, std::vector<int64_t> dims,
                              std::string_view bytes, TensorMemory& memory) {
  const std::string place = fmt::format("input '{}'", name);
  const uint64_t count = TRY_IN(place, element_count(dims));
  TensorView view{name, type, std::move(dims), {}, {}};
  if (type == ElementType::kString) {
    view.strings = TRY_IN(place, split_bytes_tensor(bytes, count));
    return view;
  }
  const size_t size = element_size(type);
  if (bytes.size() != count * size)
    return fail(Code::kInvalid, "input '{}' has {} bytes where its shape needs {}", name, bytes.size(),
                count * size);
  view.bytes = bytes;
  if (reinterpret_cast<uintptr_t>(bytes.data()) % size != 0) {
    auto copy = memory.allocate(bytes.size());
    std::memcpy(copy.data(), bytes.data(), bytes.size());
    view.bytes = {copy.data(), copy.size()};
  }
  return view;
}

Result<std::unique_ptr<V2Request>> parse_v2(std::string_view body, std::optional<uint64_t> header_length,
                                            std::span<const TensorInfo> model_inputs,
                                            std::span<const TensorInfo> model_outputs) {
  auto request = std::make_unique<V2Request>();
  if (header_length && *header_length == 0) {
    TRY(parse_raw_request(body, model_inputs, *request));
    TRY(parse_outputs(*request, model_outputs, true));
    return request;
  }
  if (header_length && *header_length > body.size())
    return fail(Code::kInvalid, "Inference-Header-Content-Length is {}, but the body has {} bytes",
                *header_length, body.size());
  const size_t json_size = header_length.value_or(body.size());
  std::string_view binary = body.substr(json_size);
  request->document = TRY(parse_document(body.substr(0, json_size)));
  if (const json* id = member(request->document, "id"); id && id->is_string())
    request->id = id->get<std::string>();
  request->timeout_us = int_parameter(request->document, "timeout");
  const json* inputs = member(request->document, "inputs");
  if (!inputs || !inputs->is_array()) return fail(Code::kInvalid, "'inputs' is missing or not an array");
  for (const json& input : *inputs) request->inputs.push_back(TRY(input_of(input, binary, *request)));
  if (!binary.empty())
    return fail(Code::kInvalid, "{} bytes of binary data belong to no input", binary.size());
  TRY(parse_outputs(*request, model_outputs, flag_parameter(request->document, "binary_data_output", false)));
  return request;
}

Result<V2Response> print_v2(std::string_view model, std::string_view version, const V2Request& request,
                            std::span<const OutputTensor> outputs) {
  std::string binary;
  bool any_binary = false;
  std::string text = fmt::format("{{\"model_name\":{},\"model_version\":{},\"id\":{},\"outputs\":[",
                                 json_text(model), json_text(version), json_text(request.id));
  for (size_t i = 0; i < outputs.size(); ++i) {
    const OutputTensor& tensor = outputs[i];
    text += fmt::format("{}{{\"name\":{},\"datatype\":\"{}\",\"shape\":[{}]", i ? "," : "",
                        json_text(request.outputs[i].name), v2_name(tensor.type()),
                        fmt::join(tensor.dims(), ","));
    if (request.outputs[i].data == V2Data::kBinary) {
      const size_t before = binary.size();
      if (tensor.type() == ElementType::kString)
        append_bytes_tensor(tensor.strings(), binary);
      else
        binary += tensor.bytes();
      text += fmt::format(",\"parameters\":{{\"binary_data_size\":{}}}}}", binary.size() - before);
      any_binary = true;
    } else {
      text += ",\"data\":[";
      TRY_IN(fmt::format("output '{}'", request.outputs[i].name), append_data(tensor, text));
      text += "]}";
    }
  }
  text += "]}";
  V2Response response;
  if (any_binary) response.header_length = text.size();
  response.body = std::move(text) + binary;
  return response;
}

Json v2_tensor_metadata(std::span<const TensorInfo> infos) {
  Json out = Json::array();
  for (const TensorInfo& info : infos)
    out.push_back(Json{{"name", info.name}, {"datatype", v2_name(info.type)}, {"shape", info.shape}});
  return out;
}

}  // namespace tidemill::serving
