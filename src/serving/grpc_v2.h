// inference.GRPCInferenceService (Open Inference Protocol v2) over the model's queue.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>

#include "proto/open_inference.grpc.pb.h"
#include "serving/grpc_calls.h"
#include "serving/model.h"

namespace tidemill::serving {

class V2Service {
 public:
  explicit V2Service(Model& model) : model_(model) {}
  grpc::Service& service() { return service_; }
  void serve(GrpcQueue& queue);
  void set_ready(bool ready) { ready_ = ready; }

 private:
  void describe_model(inference::ModelMetadataResponse& response) const;

  Model& model_;
  std::atomic<bool> ready_ = true;
  inference::GRPCInferenceService::AsyncService service_;
};

}  // namespace tidemill::serving
