// tidemill-serve as it runs in an image: its start, its end, and what it prints.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <future>
#include <regex>

#include "net/http_client.h"
#include "net/http_server.h"
#include "proto/onnxruntime_server.grpc.pb.h"
#include "serving/test_model.h"
#include "sys/process.h"

namespace tidemill::serving {
namespace {

using ::onnxruntime::server::PredictionService;
using ::onnxruntime::server::PredictRequest;
using ::onnxruntime::server::PredictResponse;
using testing::HasSubstr;

const std::string kProgram = TIDEMILL_BINARY_DIR "/bin/tidemill-serve";

// The program on free ports of loopback, found in its log.
class Program {
 public:
  Program(const fs::path& model, std::vector<std::string> more = {}) {
    ProcessOptions options;
    options.argv = {kProgram,    "--model_path",  model.string(), "--address",
                    "127.0.0.1", "--http_port=0", "--grpc_port=0"};
    options.argv.insert(options.argv.end(), more.begin(), more.end());
    options.output_file = log_path();
    process_.emplace(Process::start(options).value());
    // The last line of the start. An early end shows in the log.
    while (!http_port_ && !exit_) {
      exit_ = process_->wait_for(std::chrono::milliseconds(5));
      std::smatch match;
      const std::string text = log();
      if (std::regex_search(text, match, std::regex(" Listening at: http://127.0.0.1:(\\d+)\n")))
        http_port_ = std::stoi(match[1]);
      if (std::regex_search(text, match, std::regex("GRPC Listening at: 127.0.0.1:(\\d+)\n")))
        grpc_port_ = std::stoi(match[1]);
    }
    if (exit_) throw std::runtime_error("tidemill-serve did not start: " + log());
  }
  std::string log() const { return read_file(log_path()).value_or(""); }
  HttpClient http() const {
    return HttpClient::create(fmt::format("http://127.0.0.1:{}", http_port_)).value();
  }
  std::unique_ptr<PredictionService::Stub> stub() const {
    return PredictionService::NewStub(
        grpc::CreateChannel(fmt::format("127.0.0.1:{}", grpc_port_), grpc::InsecureChannelCredentials()));
  }
  std::string metrics() const { return http().send({.target = "/metrics"}).value().body; }
  void terminate() { ::kill(process_->pid(), SIGTERM); }
  Exit wait() { return process_->wait(); }

 private:
  fs::path log_path() const { return dir_.path() / "log"; }
  TempDir dir_ = TempDir::create().value();
  std::optional<Process> process_;
  std::optional<Exit> exit_;
  int http_port_ = 0, grpc_port_ = 0;
};

PredictRequest loop_request(int64_t trips) {
  PredictRequest request;
  onnx::TensorProto& tensor = (*request.mutable_inputs())["trips"];
  tensor.add_dims(1);
  tensor.set_data_type(onnx::TensorProto::INT64);
  tensor.add_int64_data(trips);
  return request;
}

void wait_for_metric(const Program& program, const std::string& line) {
  while (program.metrics().find("\n" + line + "\n") == std::string::npos) std::this_thread::yield();
}

TEST(Program, help_and_version_go_to_stdout) {
  auto help = run_command({kProgram, "--help"}, std::chrono::minutes(1)).value();
  EXPECT_TRUE(help.exit.ok());
  EXPECT_THAT(help.output, HasSubstr("examples:"));
  EXPECT_THAT(run_command({kProgram, "--version"}, std::chrono::minutes(1)).value().output,
              HasSubstr("tidemill-serve "));
}

TEST(Program, what_cannot_be_served_exits_with_1_and_says_why) {
  auto run = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), kProgram);
    auto captured = run_command(arguments, std::chrono::minutes(1)).value();
    EXPECT_EQ(captured.exit.status, 1);
    return captured.errors;
  };
  EXPECT_THAT(run({}), HasSubstr("'--model_path' is required"));
  EXPECT_THAT(run({"--model_path", "/no/such.onnx"}), HasSubstr("/no/such.onnx"));
  ModelFile damaged("this is no model");
  EXPECT_THAT(run({"--model_path", damaged.path().string()}),
              HasSubstr("cannot load the model " + damaged.path().string()));
  ModelFile good(gemm_model());
  EXPECT_THAT(run({"--model_path", good.path().string(), "--ort_library", "/no/such.so"}),
              HasSubstr("/no/such.so: no such file"));
  auto busy = HttpServer::start({}, [](HttpRequest, Respond) {}).value();
  EXPECT_THAT(run({"--model_path", good.path().string(), "--address", "127.0.0.1", "--grpc_port", "0",
                   "--http_port", std::to_string(busy.port())}),
              HasSubstr(std::to_string(busy.port())));
}

TEST(Program, sigterm_under_load_answers_everything_that_was_accepted) {
  ModelFile file(loop_model());
  Program program(file.path(), {"--num_workers", "1"});
  constexpr int kCalls = 6;
  std::vector<std::future<grpc::Status>> calls;
  for (int i = 0; i < kCalls; ++i)
    calls.push_back(std::async(std::launch::async, [&program] {
      grpc::ClientContext context;
      PredictResponse response;
      grpc::Status status = program.stub()->Predict(&context, loop_request(200'000), &response);
      const auto& outputs = response.outputs();
      EXPECT_TRUE(!status.ok() || outputs.at("output").float_data(0) == 200'000.0f);
      return status;
    }));
  auto over_http = std::async(std::launch::async, [&program] {
    ClientRequest request{.method = "POST", .target = "/v2/models/default/infer"};
    request.body = R"({"inputs":[{"name":"trips","shape":[1],"datatype":"INT64","data":[200000]}]})";
    return program.http().send(request);
  });
  // One runs and all others wait.
  wait_for_metric(program, fmt::format("tidemill_serving_queued {}", kCalls));
  program.terminate();
  for (auto& call : calls) {
    grpc::Status status = call.get();
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  auto response = over_http.get();
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 200) << response->body;
  EXPECT_TRUE(program.wait().ok());
  EXPECT_THAT(program.log(), HasSubstr("every request was answered"));
}

TEST(Program, a_request_that_never_ends_is_cut_off_when_the_time_to_drain_is_up) {
  ModelFile file(loop_model());
  Program program(file.path(), {"--num_workers=1", "--drain_timeout=0"});
  auto call = std::async(std::launch::async, [&program] {
    grpc::ClientContext context;
    PredictResponse response;
    return program.stub()->Predict(&context, loop_request(INT64_MAX), &response);
  });
  wait_for_metric(program, "tidemill_serving_running 1");
  program.terminate();
  EXPECT_FALSE(call.get().ok());
  EXPECT_EQ(program.wait().status, 1);
  EXPECT_THAT(program.log(), HasSubstr("requests were cut off"));
}

TEST(Program, a_client_that_gives_up_by_deadline_does_not_stop_the_server) {
  ModelFile file(loop_model());
  Program program(file.path(), {"--num_workers=1"});
  auto stub = program.stub();
  grpc::ClientContext hurried;
  hurried.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(20));
  PredictResponse response;
  EXPECT_EQ(stub->Predict(&hurried, loop_request(100'000), &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  grpc::ClientContext patient;
  grpc::Status status = stub->Predict(&patient, loop_request(3), &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  program.terminate();
  EXPECT_TRUE(program.wait().ok());
}

}  // namespace
}  // namespace tidemill::serving
