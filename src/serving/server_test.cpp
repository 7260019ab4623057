// The contracts over real sockets: HTTP with JSON and protobuf, gRPC, Open Inference Protocol.
#include "serving/server.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <google/protobuf/util/json_util.h>

#include "base/json.h"
#include "net/http_client.h"
#include "proto/health.grpc.pb.h"
#include "proto/onnxruntime_server.grpc.pb.h"
#include "proto/open_inference.grpc.pb.h"
#include "serving/test_model.h"

namespace tidemill::serving {
namespace {

using ::onnxruntime::server::PredictionService;
using ::onnxruntime::server::PredictRequest;
using ::onnxruntime::server::PredictResponse;
using testing::HasSubstr;
using testing::MatchesRegex;
using HeaderList = std::vector<std::pair<std::string, std::string>>;

constexpr std::array<float, 4> kX = {1, 2, 3, 4};

std::string bytes_of(const auto& floats) {
  return {reinterpret_cast<const char*>(floats.data()), sizeof floats};
}

PredictRequest predict_request() {
  PredictRequest request;
  onnx::TensorProto& tensor = (*request.mutable_inputs())["input"];
  tensor.add_dims(1);
  tensor.add_dims(4);
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  tensor.set_raw_data(bytes_of(kX));
  return request;
}

std::string as_json(const PredictRequest& request) {
  std::string out;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(request, &out).ok());
  return out;
}

class ServerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    file_ = new ModelFile(gemm_model());
    options_ = Options{};
    options_.model_path = file_->path();
    options_.address = "127.0.0.1";
    options_.http_port = options_.grpc_port = 0;
    options_.max_request_bytes = 1 << 20;
    set_log_level(LogLevel::kWarning);
    server_ = Server::start(options_).value().release();
  }
  static void TearDownTestSuite() {
    delete server_;
    delete file_;
  }

  ClientResponse send(std::string method, std::string target, std::string body = "",
                      HeaderList headers = {}) {
    auto client = HttpClient::create(fmt::format("http://127.0.0.1:{}", server_->http_port())).value();
    ClientRequest request{.method = std::move(method), .target = std::move(target), .body = std::move(body)};
    for (auto& [name, value] : headers) request.headers.add(name, value);
    return client.send(request).value();
  }
  ClientResponse post_json(std::string target, std::string body) {
    return send("POST", std::move(target), std::move(body),
                {{"Content-Type", "application/json"}, {"Accept", "application/json"}});
  }
  // The server answers a good request after whatever came before.
  void expect_alive() {
    EXPECT_EQ(post_json("/v1/models/default:predict", as_json(predict_request())).status, 200);
  }
  static std::shared_ptr<grpc::Channel> channel() {
    return grpc::CreateChannel(fmt::format("127.0.0.1:{}", server_->grpc_port()),
                               grpc::InsecureChannelCredentials());
  }

  static inline ModelFile* file_;
  static inline Options options_;
  static inline Server* server_;
};

void expect_gemm(const onnx::TensorProto& tensor) {
  EXPECT_THAT(tensor.dims(), testing::ElementsAre(1, 3));
  EXPECT_EQ(tensor.raw_data(), bytes_of(gemm(kX)));
}

TEST_F(ServerTest, json_predict_answers_json_with_int64_as_strings) {
  ClientResponse response = post_json("/v1/models/default/versions/1:predict", as_json(predict_request()));
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.headers.get("Content-Type"), "application/json");
  EXPECT_THAT(response.body,
              MatchesRegex("\\{\"outputs\":\\{\"output\":\\{\"dims\":\\[\"1\",\"3\"\\],\"dataType\":1,"
                           "\"rawData\":\"[A-Za-z0-9+/=]+\",\"dataLocation\":\"DEFAULT\"\\}\\}\\}"));
  PredictResponse decoded;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(response.body, &decoded).ok());
  expect_gemm(decoded.outputs().at("output"));
}

TEST_F(ServerTest, json_with_snake_case_names_and_typed_data_answers_typed_data) {
  ClientResponse response =
      post_json("/v1/models/default:predict",
                R"({"inputs":{"input":{"dims":[1,"4"],"data_type":1,"float_data":[1,2,3,4]}},)"
                R"("output_filter":["output"],"unknown":[]})");
  ASSERT_EQ(response.status, 200) << response.body;
  Json tensor = Json::parse(response.body)["outputs"]["output"];
  auto y = gemm(kX);
  EXPECT_EQ(tensor["floatData"], (Json{y[0], y[1], y[2]}));
  EXPECT_FALSE(tensor.contains("rawData"));
}

TEST_F(ServerTest, protobuf_content_types_and_accept_choose_the_codec) {
  const std::string body = predict_request().SerializeAsString();
  for (std::string type :
       {"application/octet-stream", "application/x-protobuf", "application/vnd.google.protobuf"}) {
    ClientResponse response = send("POST", "/score", body, {{"Content-Type", type}, {"Accept", type}});
    ASSERT_EQ(response.status, 200) << response.body;
    EXPECT_EQ(response.headers.get("Content-Type"), type);
    PredictResponse decoded;
    ASSERT_TRUE(decoded.ParseFromString(response.body));
    expect_gemm(decoded.outputs().at("output"));
  }
  ClientResponse any = send("POST", "/score", as_json(predict_request()),
                            {{"Content-Type", "application/json; charset=utf-8"}});
  EXPECT_EQ(any.headers.get("Content-Type"), "application/octet-stream");
  ClientResponse listed =
      send("POST", "/score", body,
           {{"Content-Type", "application/x-protobuf"}, {"Accept", "text/html, application/json;q=0.9"}});
  EXPECT_EQ(listed.headers.get("Content-Type"), "application/json");
}

TEST_F(ServerTest, unknown_content_type_or_accept_is_400) {
  const std::string body = as_json(predict_request());
  ClientResponse none = send("POST", "/score", body);
  EXPECT_EQ(none.status, 400);
  EXPECT_EQ(none.body,
            "{\"error_code\": 400, \"error_message\": \"Missing or unknown 'Content-Type' header field in "
            "the request\"}\n");
  ClientResponse accept =
      send("POST", "/score", body, {{"Content-Type", "application/json"}, {"Accept", "text/html"}});
  EXPECT_EQ(accept.status, 400);
  EXPECT_THAT(accept.body, HasSubstr("Unknown 'Accept' header field in the request"));
}

TEST_F(ServerTest, request_ids_are_made_and_echoed_on_success_and_error) {
  const HeaderList headers = {{"x-ms-client-request-id", "mine"},
                              {"x-ms-request-id", "ignored"},
                              {"Content-Type", "application/json"}};
  for (const std::string& body : {as_json(predict_request()), std::string("{")}) {
    ClientResponse response = send("POST", "/score", body, headers);
    EXPECT_EQ(response.headers.get("x-ms-client-request-id"), "mine");
    EXPECT_THAT(std::string(response.headers.get("x-ms-request-id")),
                MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  }
}

TEST_F(ServerTest, routes_are_the_contracts) {
  const std::string body = as_json(predict_request());
  for (std::string good : {"/score", "/v1/models/default:predict", "/v1/models/default:classify",
                           "/v1/models/default/versions/1:regress"})
    EXPECT_EQ(post_json(good, body).status, 200) << good;
  for (std::string bad : {"/v1/models/default:guess", "/v1/models/default/versions/v1:predict",
                          "/v1/models/default/versions/-1:predict", "/v1/models/default/versions/:predict",
                          "/v1/models/:predict", "/v1/models/default/versions/1", "/x"}) {
    ClientResponse response = post_json(bad, body);
    EXPECT_EQ(response.status, 404) << bad;
    EXPECT_EQ(response.body, fmt::format("{{\"error_code\": 404, \"error_message\": \"Not Found. For HTTP "
                                         "method: POST and request path: {}\"}}\n",
                                         bad));
  }
  EXPECT_EQ(send("GET", "/").body, "Healthy");
  EXPECT_EQ(send("GET", "/score").status, 405);
  EXPECT_EQ(send("PUT", "/score").status, 405);
  for (std::string wrong : {"/v1/models/other:predict", "/v1/models/default/versions/2:predict"}) {
    ClientResponse response = post_json(wrong, body);
    EXPECT_EQ(response.status, 400);
    EXPECT_EQ(response.body,
              "{\"error_code\": 400, \"error_message\": \"ONNX Runtime Status Code: 4. No model loaded of "
              "that name.\"}\n");
  }
}

TEST_F(ServerTest, malformed_bodies_get_an_error_and_the_server_lives_on) {
  EXPECT_THAT(post_json("/score", R"({"inputs":{"x":{"raw_data":"hello"}}})").body, HasSubstr("raw_data"));
  EXPECT_EQ(post_json("/score", "{\"inputs\":").status, 400);
  EXPECT_EQ(post_json("/score", std::string(100'000, '[')).status, 400);
  EXPECT_EQ(post_json("/score", "").status, 400);
  ClientResponse payload = send("POST", "/score", "\xff\xff", {{"Content-Type", "application/x-protobuf"}});
  EXPECT_EQ(payload.status, 400);
  EXPECT_EQ(payload.body, "{\"error_code\": 400, \"error_message\": \"Invalid payload.\"}\n");
  EXPECT_EQ(
      send("POST", "/score", std::string((1 << 20) + 1, 'x'), {{"Content-Type", "application/x-protobuf"}})
          .status,
      413);
  expect_alive();
}

TEST_F(ServerTest, tensors_that_do_not_fit_the_model_are_refused) {
  auto error = [&](const std::function<void(PredictRequest&, onnx::TensorProto&)>& damage) {
    PredictRequest request = predict_request();
    damage(request, request.mutable_inputs()->at("input"));
    ClientResponse response = post_json("/score", as_json(request));
    EXPECT_EQ(response.status, 400) << response.body;
    return response.body;
  };
  EXPECT_THAT(error([](auto&, auto& t) { t.set_dims(1, 2), t.add_dims(2); }),
              HasSubstr("Invalid rank for input: input"));
  EXPECT_THAT(error([](auto&, auto& t) { t.set_dims(0, 2), t.set_dims(1, 2); }),
              HasSubstr("invalid dimensions for input: input"));
  EXPECT_THAT(
      error([](auto&, auto& t) { t.set_data_type(6); }),
      HasSubstr(
          "Unexpected input data type for 'input'. Actual: (tensor(int32)) , expected: (tensor(float))"));
  EXPECT_THAT(error([](auto&, auto& t) { t.set_dims(1, 3); }), HasSubstr("expected 12, got 16"));
  EXPECT_THAT(error([](auto& r, auto&) { r.add_output_filter("nothing"); }),
              HasSubstr("Invalid Output Name:nothing"));
  EXPECT_THAT(error([](auto& r, auto& t) { (*r.mutable_inputs())["other"] = onnx::TensorProto(t); }),
              HasSubstr("Invalid Feed Input Name:other"));
  EXPECT_THAT(error([](auto& r, auto&) { r.clear_inputs(); }), HasSubstr("Missing Input: input"));
  expect_alive();
}

TEST_F(ServerTest, grpc_predict_answers_with_ids_and_maps_errors) {
  auto stub = PredictionService::NewStub(channel());
  grpc::ClientContext context;
  context.AddMetadata("x-ms-client-request-id", "mine");
  PredictResponse response;
  grpc::Status status = stub->Predict(&context, predict_request(), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  expect_gemm(response.outputs().at("output"));
  EXPECT_EQ(context.GetServerInitialMetadata().find("x-ms-client-request-id")->second, "mine");
  EXPECT_EQ(context.GetServerInitialMetadata().find("x-ms-request-id")->second.size(), 36u);

  PredictRequest wrong = predict_request();
  wrong.mutable_inputs()->at("input").set_data_type(6);
  grpc::ClientContext second;
  status = stub->Predict(&second, wrong, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), testing::StartsWith("ONNX Runtime Status Code: 2. "));

  PredictRequest large = predict_request();
  large.mutable_inputs()->at("input").set_raw_data(std::string(2 << 20, 'x'));
  grpc::ClientContext third;
  EXPECT_EQ(stub->Predict(&third, large, &response).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  expect_alive();
}

TEST_F(ServerTest, v2_describes_server_and_model) {
  EXPECT_EQ(Json::parse(send("GET", "/v2").body)["extensions"][0], "binary_tensor_data");
  EXPECT_EQ(send("GET", "/v2/health/live").status, 200);
  EXPECT_EQ(send("GET", "/v2/health/ready").body, R"({"ready":true})");
  EXPECT_EQ(send("GET", "/v2/models/default/versions/1/ready").body, R"({"name":"default","ready":true})");
  EXPECT_EQ(send("GET", "/v2/models/default").body,
            R"({"name":"default","versions":["1"],"platform":"onnx_onnxv1",)"
            R"("inputs":[{"name":"input","datatype":"FP32","shape":[-1,4]}],)"
            R"("outputs":[{"name":"output","datatype":"FP32","shape":[-1,3]}]})");
  EXPECT_EQ(send("GET", "/v2/models/other").status, 404);
  EXPECT_EQ(send("GET", "/v2/nothing").status, 404);
}

TEST_F(ServerTest, v2_infers_from_nested_json_and_echoes_the_id) {
  ClientResponse response = send(
      "POST", "/v2/models/default/infer",
      R"({"id":"a\"1","inputs":[{"name":"input","shape":[2,4],"datatype":"FP32","data":[[1,2,3,4],[1,2,3,4]]}]})");
  ASSERT_EQ(response.status, 200) << response.body;
  Json out = Json::parse(response.body);
  auto y = gemm(kX);
  EXPECT_EQ(out["id"], "a\"1");
  EXPECT_EQ(out["outputs"][0]["shape"], (Json{2, 3}));
  EXPECT_EQ(out["outputs"][0]["data"], (Json{y[0], y[1], y[2], y[0], y[1], y[2]}));
  ClientResponse wrong = send("POST", "/v2/models/default/infer", "{}");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_EQ(wrong.body, R"({"error":"'inputs' is missing or not an array"})");
}

TEST_F(ServerTest, v2_binary_tensors_go_behind_the_json_both_ways) {
  const std::string json =
      R"({"inputs":[{"name":"input","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":16}}],)"
      R"("outputs":[{"name":"output","parameters":{"binary_data":true}}]})";
  ClientResponse response = send("POST", "/v2/models/default/infer", json + bytes_of(kX),
                                 {{"Content-Type", "application/octet-stream"},
                                  {"Inference-Header-Content-Length", std::to_string(json.size())}});
  ASSERT_EQ(response.status, 200) << response.body;
  const size_t length = std::stoul(std::string(response.headers.get("Inference-Header-Content-Length")));
  EXPECT_EQ(Json::parse(response.body.substr(0, length))["outputs"][0]["parameters"]["binary_data_size"], 12);
  EXPECT_EQ(response.body.substr(length), bytes_of(gemm(kX)));

  ClientResponse raw =
      send("POST", "/v2/models/default/infer", bytes_of(kX), {{"Inference-Header-Content-Length", "0"}});
  ASSERT_EQ(raw.status, 200) << raw.body;
  EXPECT_THAT(raw.body, testing::EndsWith(bytes_of(gemm(kX))));
}

TEST_F(ServerTest, v2_grpc_describes_and_infers) {
  auto stub = inference::GRPCInferenceService::NewStub(channel());
  inference::ModelMetadataRequest ask;
  ask.set_name("default");
  inference::ModelMetadataResponse metadata;
  grpc::ClientContext first;
  ASSERT_TRUE(stub->ModelMetadata(&first, ask, &metadata).ok());
  EXPECT_EQ(metadata.inputs(0).datatype(), "FP32");

  inference::ModelInferRequest request;
  request.set_model_name("default");
  request.set_id("7");
  auto* input = request.add_inputs();
  input->set_name("input");
  input->set_datatype("FP32");
  input->add_shape(1);
  input->add_shape(4);
  request.add_raw_input_contents(bytes_of(kX));
  inference::ModelInferResponse response;
  grpc::ClientContext second;
  grpc::Status status = stub->ModelInfer(&second, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.id(), "7");
  EXPECT_EQ(response.raw_output_contents(0), bytes_of(gemm(kX)));

  request.set_model_name("other");
  grpc::ClientContext third;
  EXPECT_EQ(stub->ModelInfer(&third, request, &response).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServerTest, metrics_count_what_was_answered) {
  auto count = [&](const std::string& line) {
    std::string text = send("GET", "/metrics").body;
    size_t at = text.find("\n" + line + " ");
    return at == std::string::npos ? 0 : std::stoi(text.substr(at + line.size() + 2));
  };
  const std::string good = R"(tidemill_serving_requests_total{door="predict_http",outcome="success"})";
  const std::string bad = R"(tidemill_serving_requests_total{door="predict_http",outcome="invalid"})";
  const int good_before = count(good), bad_before = count(bad);
  expect_alive();
  post_json("/score", "{");
  EXPECT_EQ(count(good), good_before + 1);
  EXPECT_EQ(count(bad), bad_before + 1);
  EXPECT_GE(count("tidemill_serving_inference_seconds_count"), 1);
}

TEST_F(ServerTest, a_busy_port_is_named) {
  Options options = options_;
  options.http_port = server_->http_port();
  auto http = Server::start(options);
  ASSERT_FALSE(http);
  EXPECT_EQ(http.error().code, Code::kUnavailable);
  EXPECT_THAT(http.error().message, HasSubstr(std::to_string(options.http_port)));
  options.http_port = 0;
  options.grpc_port = server_->grpc_port();
  auto grpc = Server::start(options);
  ASSERT_FALSE(grpc);
  EXPECT_EQ(grpc.error().code, Code::kUnavailable);
  EXPECT_THAT(grpc.error().message, HasSubstr(std::to_string(options.grpc_port)));
  expect_alive();
}

TEST_F(ServerTest, clients_that_give_up_at_any_moment_leave_a_server_that_answers_and_ends) {
  auto server = Server::start(options_).value();
  const std::string target = fmt::format("127.0.0.1:{}", server->grpc_port());
  std::vector<std::jthread> clients;
  std::atomic<int> answered = 0, given_up = 0;
  for (int c = 0; c < 6; ++c)
    clients.emplace_back([&, c] {
      grpc::ChannelArguments own_connection;
      own_connection.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      auto channel = grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), own_connection);
      auto predict = PredictionService::NewStub(channel);
      auto health = grpc::health::v1::Health::NewStub(channel);
      for (int i = 0; i < 60; ++i) {
        grpc::ClientContext context, watched;
        auto watch = health->Watch(&watched, {});
        if (i % 3 != 0) watched.TryCancel();
        if (c % 2 == 0)
          context.set_deadline(std::chrono::system_clock::now() + std::chrono::microseconds(i * 20));
        PredictResponse response;
        const bool ok = predict->Predict(&context, predict_request(), &response).ok();
        if (ok) expect_gemm(response.outputs().at("output"));
        ++(ok ? answered : given_up);
        watched.TryCancel();
      }
    });
  clients.clear();
  EXPECT_GE(answered, 180);
  EXPECT_GT(given_up, 0);
  EXPECT_TRUE(server->drain(std::chrono::hours(1)));
}

TEST_F(ServerTest, calls_over_one_connection_run_side_by_side) {
  ModelFile slow(loop_model());
  Options options = options_;
  options.model_path = slow.path();
  options.num_workers = 2;
  auto server = Server::start(options).value();
  auto stub = PredictionService::NewStub(grpc::CreateChannel(fmt::format("127.0.0.1:{}", server->grpc_port()),
                                                             grpc::InsecureChannelCredentials()));
  auto trips = [&](int64_t count) {
    PredictRequest request;
    onnx::TensorProto& tensor = (*request.mutable_inputs())["trips"];
    tensor.add_dims(1);
    tensor.set_data_type(onnx::TensorProto::INT64);
    tensor.add_int64_data(count);
    grpc::ClientContext context;
    PredictResponse response;
    return stub->Predict(&context, request, &response).ok();
  };
  // The first long call after quick ones may come as a surprise and keep others waiting, but not the next.
  bool side_by_side = false;
  for (int round = 0; round < 2 && !side_by_side; ++round) {
    for (int i = 0; i < 30; ++i) EXPECT_TRUE(trips(1));
    std::atomic<bool> long_one_answered = false;
    std::jthread client([&] {
      EXPECT_TRUE(trips(500'000));
      long_one_answered = true;
    });
    auto http = HttpClient::create(fmt::format("http://127.0.0.1:{}", server->http_port())).value();
    auto is_running = [&] {
      return http.send({.target = "/metrics"}).value().body.find("\ntidemill_serving_running 1\n") !=
             std::string::npos;
    };
    while (!is_running() && !long_one_answered) std::this_thread::yield();
    EXPECT_TRUE(trips(1));
    side_by_side = !long_one_answered;
  }
  EXPECT_TRUE(side_by_side);
}

TEST_F(ServerTest, health_watchers_learn_of_the_end_and_do_not_hold_it_up) {
  auto server = Server::start(options_).value();
  auto stub = grpc::health::v1::Health::NewStub(grpc::CreateChannel(
      fmt::format("127.0.0.1:{}", server->grpc_port()), grpc::InsecureChannelCredentials()));
  grpc::health::v1::HealthCheckRequest request;
  grpc::health::v1::HealthCheckResponse response;
  grpc::ClientContext check;
  ASSERT_TRUE(stub->Check(&check, request, &response).ok());
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  request.set_service("no.such.Service");
  grpc::ClientContext unknown;
  EXPECT_EQ(stub->Check(&unknown, request, &response).error_code(), grpc::StatusCode::NOT_FOUND);

  request.set_service("onnxruntime.server.PredictionService");
  grpc::ClientContext context;
  auto watch = stub->Watch(&context, request);
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  server->set_not_ready();
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  EXPECT_TRUE(server->drain(std::chrono::hours(1)));
  EXPECT_FALSE(watch->Read(&response));
}

}  // namespace
}  // namespace tidemill::serving
