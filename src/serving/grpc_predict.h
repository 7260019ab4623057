// onnxruntime.server.PredictionService over the model's queue.
#pragma once

#include <grpcpp/grpcpp.h>

#include "proto/onnxruntime_server.grpc.pb.h"
#include "serving/grpc_calls.h"
#include "serving/model.h"

namespace tidemill::serving {

class PredictService {
 public:
  explicit PredictService(Model& model) : model_(model) {}
  grpc::Service& service() { return service_; }
  void serve(GrpcQueue& queue);

 private:
  Model& model_;
  ::onnxruntime::server::PredictionService::AsyncService service_;
};

// Calls of the model that are awaited at a time.
constexpr int kAwaitedInferences = 16;

// An error as gRPC's status.
grpc::Status to_grpc(const Error& error);
// gRPC's deadline on our clock.
Clock::time_point deadline_of(const grpc::ServerContext& context);

}  // namespace tidemill::serving
