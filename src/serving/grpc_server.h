// The gRPC front: onnxruntime.server.PredictionService, inference.GRPCInferenceService and
// grpc.health.v1.Health on one port, without TLS.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/result.h"
#include "serving/model.h"

namespace tidemill::serving {

struct GrpcOptions {
  std::string address = "0.0.0.0";
  uint16_t port = 50051;  // 0: any free port
  uint64_t max_request_bytes = 25u << 20;
  std::chrono::microseconds busy_poll{200};  // see GrpcQueue
};

class GrpcServer {
 public:
  // kUnavailable when the port cannot be listened on. Starts as ready.
  static Result<std::unique_ptr<GrpcServer>> start(const GrpcOptions& options, Model& model);
  ~GrpcServer();  // stop(now)

  uint16_t port() const;
  // What the health service and ServerReady/ModelReady answer from now on; watchers are told.
  void set_ready(bool ready);
  // Refuses new calls, waits for those in progress until the deadline, then cancels them.
  void stop(Clock::time_point deadline);

 private:
  struct State;
  explicit GrpcServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tidemill::serving
