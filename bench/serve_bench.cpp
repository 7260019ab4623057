// What the model server costs: single images of a VGG11-shaped model with random weights through gRPC
// Predict, beside ONNX Runtime called in this process on the same cores, and beside an empty C++ gRPC server:
// a process whose callback service answers the same messages with a fixed result, which is what the library
// and its client cost without any model. The ways take turns, so that other load hits all alike.
//
// One connection is measured with gRPC's C++ client, and with a client that costs next to nothing: what is
// left then is the server's. Prints medians over all requests of a way, the time a request spends beyond ONNX
// Runtime's own beside what the empty server takes, and the ratio of the times for N requests with two
// callers.
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <regex>

#include "arguments.h"
#include "base/files.h"
#include "base/time.h"
#include "lean_grpc.h"
#include "measure.h"
#include "proto/onnx.pb.h"
#include "proto/onnxruntime_server.grpc.pb.h"
#include "raw_ort.h"
#include "sys/process.h"

using namespace tidemill;
using bench::must;
using onnxruntime::server::PredictionService;
using onnxruntime::server::PredictRequest;
using onnxruntime::server::PredictResponse;

namespace {

// Builds a chain of operators; each takes what the one before it gave.
class Network {
 public:
  Network() {
    model_.set_ir_version(8);
    model_.add_opset_import()->set_version(13);
    graph().set_name("bench");
    describe(graph().add_input(), "input", {"batch", "3", "32", "32"});
  }
  void conv(int in, int out) {
    auto& node = add("Conv", {weight({out, in, 3, 3}), weight({out})});
    ints(node, "kernel_shape", {3, 3});
    ints(node, "pads", {1, 1, 1, 1});
    add("Relu", {});
  }
  void pool() {
    auto& node = add("MaxPool", {});
    ints(node, "kernel_shape", {2, 2});
    ints(node, "strides", {2, 2});
  }
  void flatten() { add("Flatten", {}); }
  void linear(int in, int out) { add("Gemm", {weight({in, out}), weight({out})}); }
  std::string finish() {
    graph().mutable_node(graph().node_size() - 1)->set_output(0, "output");
    describe(graph().add_output(), "output", {"batch", "10"});
    return model_.SerializeAsString();
  }

 private:
  onnx::GraphProto& graph() { return *model_.mutable_graph(); }
  static void describe(onnx::ValueInfoProto* info, const std::string& name,
                       const std::vector<std::string>& shape) {
    info->set_name(name);
    auto* tensor = info->mutable_type()->mutable_tensor_type();
    tensor->set_elem_type(onnx::TensorProto::FLOAT);
    for (const std::string& dim : shape)
      if (dim == "batch")
        tensor->mutable_shape()->add_dim()->set_dim_param(dim);
      else
        tensor->mutable_shape()->add_dim()->set_dim_value(std::stoi(dim));
  }
  onnx::NodeProto& add(const std::string& op, const std::vector<std::string>& weights) {
    auto& node = *graph().add_node();
    node.set_op_type(op);
    node.add_input(last_);
    for (const std::string& name : weights) node.add_input(name);
    last_ = fmt::format("x{}", graph().node_size());
    node.add_output(last_);
    return node;
  }
  static void ints(onnx::NodeProto& node, const std::string& name, std::initializer_list<int> values) {
    auto* attribute = node.add_attribute();
    attribute->set_name(name);
    attribute->set_type(onnx::AttributeProto::INTS);
    for (int value : values) attribute->add_ints(value);
  }
  std::string weight(std::vector<int> dims) {
    auto* tensor = graph().add_initializer();
    tensor->set_name(fmt::format("w{}", graph().initializer_size()));
    tensor->set_data_type(onnx::TensorProto::FLOAT);
    size_t count = 1;
    for (int dim : dims) tensor->add_dims(dim), count *= static_cast<size_t>(dim);
    std::normal_distribution<float> normal(
        0, std::sqrt(2.0f * static_cast<float>(dims[0]) / static_cast<float>(count)));
    for (size_t i = 0; i < count; ++i) tensor->add_float_data(normal(random_));
    return tensor->name();
  }

  onnx::ModelProto model_;
  std::string last_ = "input";
  std::mt19937 random_{1};
};

std::string vgg11() {
  Network net;
  int channels = 3;
  for (const std::vector<int>& block :
       std::vector<std::vector<int>>{{64}, {128}, {256, 256}, {512, 512}, {512, 512}}) {
    for (int out : block) net.conv(channels, out), channels = out;
    net.pool();
  }
  net.flatten();
  net.linear(512, 10);
  return net.finish();
}

std::string tiny() {
  Network net;
  net.flatten();
  net.linear(static_cast<int>(bench::kImageFloats), 10);
  return net.finish();
}

struct Way {
  const char* name;
  int callers;
  std::function<std::function<void()>()> make_caller;  // a connection of its own for each
  std::vector<double> micros = {};
  double seconds = 0;
};

void run_round(Way& way, int requests) {
  std::vector<std::vector<double>> micros(static_cast<size_t>(way.callers));
  std::vector<std::function<void()>> callers;
  for (int i = 0; i < way.callers; ++i) {
    callers.push_back(way.make_caller());
    callers.back()();  // connects
  }
  Stopwatch whole;
  std::vector<std::thread> threads;
  for (int i = 0; i < way.callers; ++i)
    threads.emplace_back([&, i] {
      for (int n = i; n < requests; n += way.callers) {
        Stopwatch one;
        callers[static_cast<size_t>(i)]();
        micros[static_cast<size_t>(i)].push_back(one.seconds() * 1e6);
      }
    });
  for (std::thread& thread : threads) thread.join();
  way.seconds += whole.seconds();
  for (auto& part : micros) way.micros.insert(way.micros.end(), part.begin(), part.end());
}

double percentile(std::vector<double>& values, double part) {
  auto at = values.begin() + static_cast<std::ptrdiff_t>(part * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

// What every answer holds: ten numbers.
class EmptyService final : public PredictionService::CallbackService {
 public:
  grpc::ServerUnaryReactor* Predict(grpc::CallbackServerContext* context, const PredictRequest*,
                                    PredictResponse* response) override {
    auto& tensor = (*response->mutable_outputs())["output"];
    for (int64_t dim : {1, 10}) tensor.add_dims(dim);
    tensor.set_data_type(onnx::TensorProto::FLOAT);
    tensor.set_raw_data(std::string(10 * sizeof(float), '\0'));
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

// Serves until it is killed.
int serve_empty() {
  EmptyService service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  std::fprintf(stderr, "GRPC Listening at: 127.0.0.1:%d\n", port);
  server->Wait();
  return 0;
}

int wait_for_port(const fs::path& log) {
  const std::regex line("GRPC Listening at: 127.0.0.1:(\\d+)\n");
  for (Stopwatch waited; waited.seconds() < 60;) {
    std::smatch match;
    const std::string text = read_file(log).value_or("");
    if (std::regex_search(text, match, line)) return std::stoi(match[1]);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  std::fprintf(stderr, "serve_bench: tidemill-serve did not start: %s\n",
               read_file(log).value_or("").c_str());
  std::exit(1);
}

std::function<void()> served_caller(const std::string& target, const PredictRequest& request) {
  grpc::ChannelArguments own_connection;
  own_connection.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  std::shared_ptr<PredictionService::Stub> stub = PredictionService::NewStub(
      grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), own_connection));
  return [stub, &request] {
    grpc::ClientContext context;
    PredictResponse response;
    if (grpc::Status status = stub->Predict(&context, request, &response); !status.ok()) {
      std::fprintf(stderr, "serve_bench: %s\n", status.error_message().c_str());
      std::exit(1);
    }
  };
}

std::function<void()> lean_caller(int port, const std::string& message) {
  std::shared_ptr<bench::LeanGrpcClient> client = must(bench::LeanGrpcClient::connect(port));
  return [client, &message] {
    PredictResponse response;
    if (!response.ParseFromString(
            must(client->call("/onnxruntime.server.PredictionService/Predict", message))) ||
        response.outputs().empty())
      bench::give_up("an answer without outputs");
  };
}

struct Server {
  Process process;
  int port;
};

Server start(std::vector<std::string> argv, const fs::path& log) {
  ProcessOptions options;
  options.argv = std::move(argv);
  options.output_file = log;
  Process process = must(Process::start(options));
  return {std::move(process), wait_for_port(log)};
}

enum WayNumber { kRaw, kEmpty, kServed, kEmptyLean, kServedLean, kRawTwo, kServedTwo, kWays };

void report(std::array<Way, kWays>& ways, int requests) {
  std::printf("%-34s %10s %10s %10s %12s\n", "", "p50 us", "p99 us", "total s", "requests/s");
  std::array<double, kWays> middle;
  for (size_t i = 0; i < kWays; ++i) {
    Way& way = ways[i];
    middle[i] = percentile(way.micros, 0.5);
    std::printf("%-34s %10.0f %10.0f %10.2f %12.0f\n", way.name, middle[i], percentile(way.micros, 0.99),
                way.seconds, requests / way.seconds);
  }
  auto beyond = [&](const char* client, WayNumber served, WayNumber empty) {
    std::printf(
        "beyond ONNX Runtime, 1 connection, %s: %.0f us a request (p50); an empty server takes %.0f\n",
        client, middle[served] - middle[kRaw], middle[empty]);
  };
  beyond("gRPC's C++ client", kServed, kEmpty);
  beyond("a lean client", kServedLean, kEmptyLean);
  std::printf("time with 2 connections / ONNX Runtime with 2 threads: %.3f\n",
              ways[kServedTwo].seconds / ways[kRawTwo].seconds);
}

}  // namespace

int main(int argc, char** argv) {
  int requests = 10'000, rounds = 10;
  bool is_tiny = false, is_empty_server = false;
  bench::read_arguments(
      argc, argv,
      {.measures =
           "What the model server costs: single images through gRPC Predict, beside ONNX Runtime in this\n"
           "process and an empty C++ gRPC server, in turns.",
       .arguments = {{"--requests N", &requests, "Requests of each way, in all rounds together", 1},
                     {"--rounds N", &rounds, "Turns", 1},
                     {"--tiny", &is_tiny,
                      "A model of a few microseconds instead of VGG11: the overhead alone"},
                     {"--empty-server", &is_empty_server, "Only be the empty server, on a free port"}},
       .examples = {"serve_bench --tiny", "serve_bench --requests 1000 --rounds 5"}});
  if (is_empty_server) return serve_empty();
  TempDir dir = must(TempDir::create());
  const fs::path path = dir.path() / "model.onnx";
  if (auto written = write_file_atomic(path, is_tiny ? tiny() : vgg11(), Durable::no); !written) return 1;
  Server server = start({TIDEMILL_SERVE, "--model_path", path.string(), "--address=127.0.0.1",
                         "--http_port=0", "--grpc_port=0"},
                        dir.path() / "log");
  Server empty = start({"/proc/self/exe", "--empty-server"}, dir.path() / "empty_log");

  auto session = must(serving::Session::load(path));
  std::vector<float> image(bench::kImageFloats, 0.5f);
  PredictRequest request;
  auto& tensor = (*request.mutable_inputs())["input"];
  for (int64_t dim : {1, 3, 32, 32}) tensor.add_dims(dim);
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  tensor.set_raw_data(image.data(), image.size() * sizeof(float));

  auto raw = [&] { return bench::raw_caller(*session, image); };
  const std::string message = request.SerializeAsString();
  auto served_by = [&](const Server& by) {
    return [&by, &request] { return served_caller(fmt::format("127.0.0.1:{}", by.port), request); };
  };
  auto lean_by = [&](const Server& by) { return [&by, &message] { return lean_caller(by.port, message); }; };
  std::array<Way, kWays> ways = {Way{"ONNX Runtime, 1 thread", 1, raw},
                                 Way{"empty gRPC, 1 connection", 1, served_by(empty)},
                                 Way{"gRPC Predict, 1 connection", 1, served_by(server)},
                                 Way{"empty gRPC, 1 lean connection", 1, lean_by(empty)},
                                 Way{"gRPC Predict, 1 lean connection", 1, lean_by(server)},
                                 Way{"ONNX Runtime, 2 threads", 2, raw},
                                 Way{"gRPC Predict, 2 connections", 2, served_by(server)}};
  for (int round = 0; round < rounds; ++round)
    for (Way& way : ways) run_round(way, std::max(1, requests / rounds));
  report(ways, std::max(1, requests / rounds) * rounds);
  server.process.stop(std::chrono::seconds(10));
  empty.process.stop(std::chrono::seconds(10));
}
