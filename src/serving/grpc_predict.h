// onnxruntime.server.PredictionService over the model's queue.
#pragma once

#include <grpcpp/grpcpp.h>

#include "proto/onnxruntime_server.grpc.pb.h"
#include "serving/model.h"

namespace tidemill::serving {

class PredictService final : public ::onnxruntime::server::PredictionService::CallbackService {
 public:
  explicit PredictService(Model& model) : model_(model) {}
  grpc::ServerUnaryReactor* Predict(grpc::CallbackServerContext* context,
                                    const ::onnxruntime::server::PredictRequest* request,
                                    ::onnxruntime::server::PredictResponse* response) override;

 private:
  Model& model_;
};

// An error as gRPC's status.
grpc::Status to_grpc(const Error& error);
// gRPC's deadline on our clock.
Clock::time_point deadline_of(const grpc::CallbackServerContext& context);

}  // namespace tidemill::serving
