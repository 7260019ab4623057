// Bytes to tensors and back, through a model that returns what it gets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "serving/predict_codec.h"
#include "serving/status.h"
#include "serving/test_model.h"
#include "serving/v2_codec.h"
#include "serving/v2_grpc_codec.h"

namespace tidemill::serving {
namespace {

using ::onnxruntime::server::PredictRequest;
using ::onnxruntime::server::PredictResponse;
using testing::HasSubstr;

template <class Response, class Request>
Response round_trip(ElementType type, const Request& request) {
  ModelFile file(identity_model(type));
  auto session = Session::load(file.path()).value();
  TensorMemory memory;
  auto inputs = tensors_of(request, memory);
  if (!inputs) throw std::runtime_error(inputs.error().message);
  auto outputs = session->run(*inputs, {});
  if (!outputs) throw std::runtime_error(outputs.error().message);
  Response response;
  const std::vector<std::string> names = requested_outputs(request, session->outputs());
  if constexpr (std::is_same_v<Response, PredictResponse>)
    fill_response(*outputs, names, response_elements(request), response);
  else
    fill_response(*outputs, names, request, response);
  return response;
}

onnx::TensorProto echo(const onnx::TensorProto& tensor) {
  PredictRequest request;
  (*request.mutable_inputs())["input"] = tensor;
  return round_trip<PredictResponse>(static_cast<ElementType>(tensor.data_type()), request)
      .outputs()
      .at("output");
}

onnx::TensorProto vector_of(ElementType type, int64_t n) {
  onnx::TensorProto tensor;
  tensor.set_data_type(static_cast<int>(type));
  tensor.add_dims(n);
  return tensor;
}

std::string bytes(std::initializer_list<uint8_t> list) { return {list.begin(), list.end()}; }

TEST(PredictCodec, raw_elements_of_every_type_come_back_raw) {
  for (auto [type, size] :
       std::initializer_list<std::pair<ElementType, size_t>>{{ElementType::kFloat, 4},
                                                             {ElementType::kDouble, 8},
                                                             {ElementType::kBool, 1},
                                                             {ElementType::kInt8, 1},
                                                             {ElementType::kInt16, 2},
                                                             {ElementType::kInt32, 4},
                                                             {ElementType::kInt64, 8},
                                                             {ElementType::kUint8, 1},
                                                             {ElementType::kUint16, 2},
                                                             {ElementType::kUint32, 4},
                                                             {ElementType::kUint64, 8},
                                                             {ElementType::kFloat16, 2},
                                                             {ElementType::kBfloat16, 2}}) {
    onnx::TensorProto tensor = vector_of(type, 3);
    tensor.set_raw_data(std::string(3 * size, '\1'));
    onnx::TensorProto out = echo(tensor);
    EXPECT_EQ(out.raw_data(), tensor.raw_data()) << onnx_name(type);
    EXPECT_EQ(out.data_type(), tensor.data_type());
    EXPECT_TRUE(out.has_data_location());
  }
}

TEST(PredictCodec, typed_elements_come_back_in_the_field_of_their_type) {
  auto check = [](ElementType type, auto add, auto get, auto values) {
    onnx::TensorProto tensor = vector_of(type, static_cast<int64_t>(values.size()));
    for (auto value : values) (tensor.*add)(value);
    onnx::TensorProto out = echo(tensor);
    EXPECT_FALSE(out.has_raw_data());
    EXPECT_THAT((out.*get)(), testing::ElementsAreArray(values)) << onnx_name(type);
  };
  using T = onnx::TensorProto;
  using Int32s = const google::protobuf::RepeatedField<int32_t>& (T::*)() const;
  using Uint64s = const google::protobuf::RepeatedField<uint64_t>& (T::*)() const;
  Int32s int32s = &T::int32_data;
  Uint64s uint64s = &T::uint64_data;
  check(ElementType::kInt8, &T::add_int32_data, int32s, std::vector<int32_t>{-128, 127});
  check(ElementType::kUint8, &T::add_int32_data, int32s, std::vector<int32_t>{0, 255});
  check(ElementType::kInt16, &T::add_int32_data, int32s, std::vector<int32_t>{-32768, 32767});
  check(ElementType::kUint16, &T::add_int32_data, int32s, std::vector<int32_t>{0, 65535});
  check(ElementType::kInt32, &T::add_int32_data, int32s, std::vector<int32_t>{INT32_MIN, INT32_MAX});
  check(ElementType::kBool, &T::add_int32_data, int32s, std::vector<int32_t>{0, 1});
  check(ElementType::kUint32, &T::add_uint64_data, uint64s, std::vector<uint64_t>{0, UINT32_MAX});
  check(ElementType::kUint64, &T::add_uint64_data, uint64s, std::vector<uint64_t>{0, UINT64_MAX});
}

TEST(PredictCodec, strings_keep_every_byte) {
  onnx::TensorProto tensor = vector_of(ElementType::kString, 3);
  tensor.add_string_data("");
  tensor.add_string_data(std::string("a\0b", 3));
  tensor.add_string_data(std::string(1000, 'x'));
  onnx::TensorProto out = echo(tensor);
  ASSERT_EQ(out.string_data_size(), 3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(out.string_data(i), tensor.string_data(i));
}

TEST(PredictCodec, damaged_tensors_get_the_contracts_errors) {
  TensorMemory memory;
  auto error = [&](const onnx::TensorProto& tensor) {
    auto view = tensor_of("x", tensor, memory);
    return view ? "" : view.error().message;
  };
  onnx::TensorProto tensor = vector_of(ElementType::kFloat, 2);
  tensor.set_raw_data("1234");
  EXPECT_EQ(error(tensor),
            "ONNX Runtime Status Code: 2. UnpackTensor: the pre-allocated size does not match the raw data "
            "size, expected 8, got 4");
  tensor.clear_raw_data();
  EXPECT_THAT(error(tensor), HasSubstr("expected 2, got 0"));
  tensor.set_dims(0, -1);
  EXPECT_THAT(error(tensor), HasSubstr("negative dimension"));
  tensor.set_dims(0, INT64_MAX);
  tensor.add_dims(INT64_MAX);
  EXPECT_THAT(error(tensor), HasSubstr("too large"));
  tensor = vector_of(ElementType::kInt8, 1);
  tensor.add_int32_data(128);
  EXPECT_THAT(error(tensor), HasSubstr("element 0 is 128"));
  tensor = vector_of(ElementType::kFloat, 1);
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  EXPECT_THAT(error(tensor), HasSubstr("Server doesn't support external data."));
  tensor = vector_of(static_cast<ElementType>(14), 1);
  EXPECT_EQ(ort_code_of({Code::kInternal, error(tensor)}), OrtCode::kNotImplemented);
}

TEST(V2Codec, json_numbers_of_every_type_are_checked_and_come_back) {
  const std::pair<ElementType, const char*> good[] = {
      {ElementType::kInt8, "[-128,127]"},
      {ElementType::kUint8, "[0,255]"},
      {ElementType::kInt16, "[-32768,32767]"},
      {ElementType::kUint16, "[0,65535]"},
      {ElementType::kInt32, "[-2147483648,2147483647]"},
      {ElementType::kUint32, "[0,4294967295]"},
      {ElementType::kInt64, "[-9223372036854775808,9223372036854775807]"},
      {ElementType::kUint64, "[0,18446744073709551615]"},
      {ElementType::kFloat, "[0.1,-1e-05]"},
      {ElementType::kDouble, "[0.1,1e+300]"},
      {ElementType::kBool, "[true,false]"},
      {ElementType::kString, "[\"a\\\"b\",\"\"]"}};
  for (const auto& [type, data] : good) {
    ModelFile file(identity_model(type));
    auto session = Session::load(file.path()).value();
    const std::string body =
        fmt::format(R"({{"id":"7","inputs":[{{"name":"input","shape":[2],"datatype":"{}","data":{}}}]}})",
                    v2_name(type), data);
    auto request = parse_v2(body, std::nullopt, session->inputs(), session->outputs()).value();
    auto outputs = session->run(request->inputs, {}).value();
    EXPECT_EQ(
        print_v2("m", "1", *request, outputs).value().body,
        fmt::format(
            R"({{"model_name":"m","model_version":"1","id":"7","outputs":[{{"name":"output","datatype":"{}",)"
            R"("shape":[2],"data":{}}}]}})",
            v2_name(type), data));
  }
}

TEST(V2Codec, bad_requests_say_what_is_wrong) {
  const std::vector<TensorInfo> inputs = {{"input", ElementType::kFloat, {-1, 2}}},
                                outputs = {{"output", ElementType::kFloat, {-1}}};
  auto error = [&](std::string_view body, std::optional<uint64_t> length = std::nullopt) {
    auto request = parse_v2(body, length, inputs, outputs);
    return request ? "" : request.error().message;
  };
  auto input = [](std::string_view rest) {
    return fmt::format(R"({{"inputs":[{{"name":"input",{}}}]}})", rest);
  };
  EXPECT_THAT(error("{"), HasSubstr("not valid JSON at byte"));
  EXPECT_THAT(error("[]"), HasSubstr("must be a JSON object"));
  EXPECT_THAT(error("{}"), HasSubstr("'inputs' is missing"));
  EXPECT_THAT(error(std::string(100'000, '[')), HasSubstr("nested deeper"));
  EXPECT_THAT(error(input(R"("datatype":"FP32","data":[1])")), HasSubstr("'shape' is missing"));
  EXPECT_THAT(error(input(R"("shape":[1],"datatype":"FP33","data":[1])")),
              HasSubstr("unknown datatype 'FP33'"));
  EXPECT_THAT(error(input(R"("shape":[1099511627776],"datatype":"FP32","data":[1])")),
              HasSubstr("has 1 elements"));
  EXPECT_THAT(error(input(R"("shape":[2],"datatype":"FP32","data":[1,"x"])")),
              HasSubstr("element 1 of 'data'"));
  EXPECT_THAT(error(input(R"("shape":[1],"datatype":"INT8","data":[128])")),
              HasSubstr("does not fit its datatype"));
  EXPECT_THAT(error(input(R"("shape":[1],"datatype":"FP16","data":[1])")),
              HasSubstr("only be sent as binary"));
  EXPECT_THAT(error(input(R"("shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4})")),
              HasSubstr("0 bytes are left"));
  EXPECT_THAT(error("{}", 3), HasSubstr("Inference-Header-Content-Length is 3"));
  EXPECT_THAT(error("1234567", 0), HasSubstr("no multiple of 8"));
}

TEST(V2Codec, misaligned_binary_data_is_moved) {
  const std::vector<TensorInfo> infos = {{"input", ElementType::kFloat, {-1}}};
  std::string json =
      R"({"inputs":[{"name":"input","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}]})";
  for (size_t padding = 0; padding < 4; ++padding) {
    const std::string text = json + std::string(padding, ' ');
    const std::string body = text + bytes({0, 0, 128, 63});
    auto request = parse_v2(body, text.size(), infos, infos).value();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(request->inputs[0].bytes.data()) % 4, 0u);
    float value = 0;
    std::memcpy(&value, request->inputs[0].bytes.data(), 4);
    EXPECT_EQ(value, 1.0f);
  }
}

TEST(V2GrpcCodec, typed_contents_and_raw_contents_give_the_same) {
  inference::ModelInferRequest typed;
  auto* input = typed.add_inputs();
  input->set_name("input");
  input->set_datatype("INT16");
  input->add_shape(2);
  input->mutable_contents()->add_int_contents(-5);
  input->mutable_contents()->add_int_contents(300);
  auto out = round_trip<inference::ModelInferResponse>(ElementType::kInt16, typed);
  EXPECT_THAT(out.outputs(0).contents().int_contents(), testing::ElementsAre(-5, 300));

  inference::ModelInferRequest raw = typed;
  raw.mutable_inputs(0)->clear_contents();
  raw.add_raw_input_contents(bytes({0xfb, 0xff, 0x2c, 0x01}));
  EXPECT_EQ(round_trip<inference::ModelInferResponse>(ElementType::kInt16, raw).raw_output_contents(0),
            raw.raw_input_contents(0));
}

TEST(V2GrpcCodec, contents_beside_raw_contents_are_refused) {
  inference::ModelInferRequest request;
  auto* input = request.add_inputs();
  input->set_datatype("UINT8");
  input->add_shape(1);
  input->mutable_contents()->add_uint_contents(1);
  request.add_raw_input_contents("x");
  TensorMemory memory;
  EXPECT_THAT(tensors_of(request, memory).error().message, HasSubstr("although raw_input_contents are used"));
  request.add_raw_input_contents("y");
  EXPECT_THAT(tensors_of(request, memory).error().message, HasSubstr("1 inputs but 2 raw_input_contents"));
}

TEST(V2Codec, bytes_elements_carry_their_lengths) {
  std::string raw = bytes({1, 0, 0, 0, 'a', 0, 0, 0, 0});
  EXPECT_THAT(split_bytes_tensor(raw, 2).value(), testing::ElementsAre("a", ""));
  EXPECT_FALSE(split_bytes_tensor(raw, 3));
  EXPECT_THAT(split_bytes_tensor(raw.substr(0, 7), 2).error().message, HasSubstr("ends inside a length"));
  EXPECT_THAT(split_bytes_tensor(bytes({255, 255, 255, 255, 1}), 1).error().message,
              HasSubstr("4294967295 bytes, but 1 are left"));
}

}  // namespace
}  // namespace tidemill::serving
