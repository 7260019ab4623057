#include "serving/grpc_server.h"

#include <absl/synchronization/mutex.h>
#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>

#include "base/log.h"
#include "serving/grpc_calls.h"
#include "serving/grpc_health.h"
#include "serving/grpc_predict.h"
#include "serving/grpc_v2.h"

namespace tidemill::serving {

namespace {
// Both libraries log what they also report through their interfaces, so a client's bad bytes could fill the
// log: kept for those who ask for detail.
void forward_grpc_log(gpr_log_func_args* args) { log_debug("gRPC: {}", args->message); }
void forward_protobuf_log(google::protobuf::LogLevel, const char*, int, const std::string& message) {
  log_debug("protobuf: {}", message);
}
}  // namespace

struct GrpcServer::State {
  explicit State(Model& model) : predict(model), v2(model) {}

  HealthService health{{"onnxruntime.server.PredictionService", "inference.GRPCInferenceService"}};
  PredictService predict;
  V2Service v2;
  std::unique_ptr<GrpcQueue> queue;  // goes after the server, which may still tell it something
  std::unique_ptr<grpc::Server> server;
  int port = 0;
};

Result<std::unique_ptr<GrpcServer>> GrpcServer::start(const GrpcOptions& options, Model& model) {
  // Debian builds gRPC's locks with a search for deadlocks at every lock, which is meant for development.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  gpr_set_log_function(forward_grpc_log);
  google::protobuf::SetLogHandler(forward_protobuf_log);
  auto state = std::make_unique<State>(model);
  const bool ipv6 = options.address.find(':') != std::string::npos;
  const std::string target =
      fmt::format("{0}{1}{2}:{3}", ipv6 ? "[" : "", options.address, ipv6 ? "]" : "", options.port);
  grpc::ServerBuilder builder;
  // Without this two servers would share a port and each get some of the requests.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort(target, grpc::InsecureServerCredentials(), &state->port);
  builder.SetMaxReceiveMessageSize(
      static_cast<int>(std::min<uint64_t>(options.max_request_bytes, INT32_MAX)));
  builder.SetMaxSendMessageSize(-1);
  builder.RegisterService(&state->predict.service());
  builder.RegisterService(&state->v2.service());
  builder.RegisterService(&state->health.service());
  state->queue = std::make_unique<GrpcQueue>(builder.AddCompletionQueue(), options.busy_poll,
                                             [&model] { return model.is_idle(); });
  state->server = builder.BuildAndStart();
  if (!state->server || state->port == 0)
    return fail(
        Code::kUnavailable,
        "cannot listen on {} for gRPC: the port is taken or not allowed; choose another with --grpc_port",
        target);
  state->predict.serve(*state->queue);
  state->v2.serve(*state->queue);
  state->health.serve(*state->queue);
  state->queue->start();
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(state)));
}

GrpcServer::GrpcServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
GrpcServer::~GrpcServer() { stop(Clock::now()); }

uint16_t GrpcServer::port() const { return static_cast<uint16_t>(state_->port); }

void GrpcServer::set_ready(bool ready) {
  state_->health.set_ready(ready);
  state_->v2.set_ready(ready);
}

void GrpcServer::stop(Clock::time_point deadline) {
  if (!state_->queue) return;
  state_->health.end_watches();
  state_->server->Shutdown(
      std::chrono::system_clock::now() +
      std::chrono::duration_cast<std::chrono::system_clock::duration>(deadline - Clock::now()));
  state_->queue.reset();
}

}  // namespace tidemill::serving
