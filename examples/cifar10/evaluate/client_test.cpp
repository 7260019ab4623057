#include "evaluate/client.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include <cmath>

#include "proto/health.grpc.pb.h"
#include "proto/onnxruntime_server.grpc.pb.h"

namespace tidemill::cifar10 {
namespace {

using ::testing::HasSubstr;

// Answers each image with its first pixel as the class, as the real server's wire form has it.
class Echo : public onnxruntime::server::PredictionService::Service {
 public:
  grpc::Status Predict(grpc::ServerContext*, const onnxruntime::server::PredictRequest* request,
                       onnxruntime::server::PredictResponse* response) override {
    auto input = request->inputs().find("input");
    if (input == request->inputs().end()) return {grpc::StatusCode::INVALID_ARGUMENT, "no input 'input'"};
    const std::string& raw = input->second.raw_data();
    float first = 0;
    std::memcpy(&first, raw.data(), sizeof(first));
    auto pixel = static_cast<int>(std::lround((first * 0.2470f + 0.4914f) * 255));
    if (pixel == refused_) return {grpc::StatusCode::INTERNAL, "this one I do not like"};
    std::vector<float> scores(10, 0.0f);
    scores[static_cast<size_t>(pixel)] = 1.0f;
    if (pixel == broken_) scores[0] = std::nanf("");
    auto& output = (*response->mutable_outputs())["output"];
    output.set_data_type(onnx::TensorProto::FLOAT);
    output.add_dims(1);
    output.add_dims(10);
    output.set_raw_data(scores.data(), scores.size() * sizeof(float));
    return grpc::Status::OK;
  }
  int refused_ = -1, broken_ = -1;
};

class Health : public grpc::health::v1::Health::Service {
 public:
  grpc::Status Check(grpc::ServerContext*, const grpc::health::v1::HealthCheckRequest*,
                     grpc::health::v1::HealthCheckResponse* response) override {
    using Answer = grpc::health::v1::HealthCheckResponse;
    response->set_status(asked_++ < 2 ? Answer::NOT_SERVING : Answer::SERVING);
    return grpc::Status::OK;
  }
  std::atomic<int> asked_{0};
};

class Client : public ::testing::Test {
 protected:
  void SetUp() override {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&echo_);
    builder.RegisterService(&health_);
    server_ = builder.BuildAndStart();
    ASSERT_TRUE(server_);
    options_.target = fmt::format("127.0.0.1:{}", port_);
  }
  static DataSplit images(size_t count) {
    DataSplit data;
    data.height = data.width = 2;
    data.pixels.resize(count * 12);
    for (size_t i = 0; i < count; ++i) {
      data.pixels[i * 12] = static_cast<uint8_t>(i % 10);
      data.labels.push_back(0);
      data.names.push_back(fmt::format("x/{}.png", i));
    }
    return data;
  }
  Result<Answers> classify_all(const DataSplit& data) {
    return classify(data, options_, [this](size_t n) { done_ += n; }, alive_);
  }

  Echo echo_;
  Health health_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  ClientOptions options_;
  std::atomic<size_t> done_{0};
  std::function<Result<>()> alive_ = []() -> Result<> { return {}; };
};

TEST_F(Client, EveryImageGetsItsOwnAnswer) {
  DataSplit data = images(500);
  auto answers = classify_all(data);
  ASSERT_TRUE(answers) << answers.error().message;
  for (size_t i = 0; i < data.count(); ++i) {
    ASSERT_EQ(answers->predictions[i], static_cast<int>(i % 10));
    EXPECT_GT(answers->seconds[i], 0);
  }
  EXPECT_EQ(done_, 500u);
}

TEST_F(Client, NoImagesIsNoError) { EXPECT_TRUE(classify_all(images(0))); }

TEST_F(Client, RefusedRequestNamesTheImage) {
  echo_.refused_ = 7;
  auto answers = classify_all(images(50));
  ASSERT_FALSE(answers);
  EXPECT_THAT(answers.error().message, HasSubstr("7.png: this one I do not like"));
}

TEST_F(Client, NanIsNotAnAnswer) {
  echo_.broken_ = 3;
  auto answers = classify_all(images(50));
  ASSERT_FALSE(answers);
  EXPECT_THAT(answers.error().message, HasSubstr("NaN"));
}

TEST_F(Client, ServerThatDiedIsToldByItsOwnWords) {
  server_->Shutdown(std::chrono::system_clock::now());
  alive_ = []() -> Result<> { return fail(Code::kUnavailable, "the server ended: out of memory"); };
  auto answers = classify_all(images(50));
  ASSERT_FALSE(answers);
  EXPECT_EQ(answers.error().message, "the server ended: out of memory");
}

TEST_F(Client, ReadyOnlyWhenHealthSaysServing) {
  ASSERT_TRUE(wait_ready(options_.target, std::chrono::seconds(20), alive_));
  EXPECT_GE(health_.asked_, 3);
}

TEST_F(Client, WaitingEndsWhenTheServerIsGone) {
  server_->Shutdown(std::chrono::system_clock::now());
  int asked = 0;
  auto ready = wait_ready(options_.target, std::chrono::seconds(60), [&]() -> Result<> {
    if (++asked < 3) return {};
    return fail(Code::kUnavailable, "the server ended");
  });
  ASSERT_FALSE(ready);
  EXPECT_EQ(ready.error().message, "the server ended");
}

TEST(Normalise, TheTrainersFigures) {
  DataSplit data;
  data.height = data.width = 1;
  data.pixels = {255, 0, 128};
  std::vector<float> out;
  normalise(data, 0, {}, out);
  EXPECT_NEAR(out[0], (1 - 0.4914) / 0.2470, 1e-5);
  EXPECT_NEAR(out[1], (0 - 0.4822) / 0.2435, 1e-5);
  EXPECT_NEAR(out[2], (128.0 / 255 - 0.4465) / 0.2616, 1e-5);
}

}  // namespace
}  // namespace tidemill::cifar10
