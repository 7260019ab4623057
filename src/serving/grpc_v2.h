// inference.GRPCInferenceService (Open Inference Protocol v2) over the model's queue.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>

#include "proto/open_inference.grpc.pb.h"
#include "serving/model.h"

namespace tidemill::serving {

class V2Service final : public inference::GRPCInferenceService::CallbackService {
 public:
  explicit V2Service(Model& model) : model_(model) {}
  void set_ready(bool ready) { ready_ = ready; }

  grpc::ServerUnaryReactor* ServerLive(grpc::CallbackServerContext*, const inference::ServerLiveRequest*,
                                       inference::ServerLiveResponse*) override;
  grpc::ServerUnaryReactor* ServerReady(grpc::CallbackServerContext*, const inference::ServerReadyRequest*,
                                        inference::ServerReadyResponse*) override;
  grpc::ServerUnaryReactor* ModelReady(grpc::CallbackServerContext*, const inference::ModelReadyRequest*,
                                       inference::ModelReadyResponse*) override;
  grpc::ServerUnaryReactor* ServerMetadata(grpc::CallbackServerContext*,
                                           const inference::ServerMetadataRequest*,
                                           inference::ServerMetadataResponse*) override;
  grpc::ServerUnaryReactor* ModelMetadata(grpc::CallbackServerContext*,
                                          const inference::ModelMetadataRequest*,
                                          inference::ModelMetadataResponse*) override;
  grpc::ServerUnaryReactor* ModelInfer(grpc::CallbackServerContext*, const inference::ModelInferRequest*,
                                       inference::ModelInferResponse*) override;

 private:
  Model& model_;
  std::atomic<bool> ready_ = true;
};

}  // namespace tidemill::serving
