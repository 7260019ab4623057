#include "serving/grpc_v2.h"

#include "serving/grpc_predict.h"
#include "serving/status.h"
#include "serving/v2_grpc_codec.h"
#include "serving/v2_http.h"

namespace tidemill::serving {

namespace {

grpc::ServerUnaryReactor* answer(grpc::CallbackServerContext* context,
                                 const grpc::Status& status = grpc::Status::OK) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

// Open Inference Protocol says NOT_FOUND where the old contract says INVALID_ARGUMENT.
grpc::Status to_v2_grpc(const Error& error) {
  if (error.code == Code::kNotFound) return {grpc::StatusCode::NOT_FOUND, error.message};
  return to_grpc(error);
}

// gRPC keeps the messages until finish(); this object stays a little longer, as in grpc_predict.cpp.
class InferCall : public std::enable_shared_from_this<InferCall> {
 public:
  InferCall(Model& model, grpc::CallbackServerContext& context, const inference::ModelInferRequest& request,
            inference::ModelInferResponse& response)
      : model_(model), context_(context), request_(request), response_(response) {}

  grpc::ServerUnaryReactor* start() {
    if (auto call = make_call())
      model_.submit(std::move(*call), RunOn::kCaller);
    else
      finish(&call.error());
    return reactor_;
  }

 private:
  Result<std::unique_ptr<InferenceCall>> make_call() {
    TRY(model_.check_name(request_.model_name(), request_.model_version()));
    auto call = std::make_unique<InferenceCall>();
    call->inputs = TRY(tensors_of(request_, memory_));
    call->outputs = outputs_ = requested_outputs(request_, model_.outputs());
    call->deadline = deadline_of(context_);
    if (auto it = request_.parameters().find("timeout"); it != request_.parameters().end())
      if (int64_t us = it->second.int64_param(); us > 0 && us < int64_t{1} << 40)
        call->deadline = std::min(call->deadline, start_ + std::chrono::microseconds(us));
    call->cancelled = [this] { return context_.IsCancelled(); };
    call->done = [this, self = shared_from_this()](Result<std::vector<OutputTensor>> outputs) {
      if (!outputs) return finish(&outputs.error());
      response_.set_model_name(model_.name());
      response_.set_model_version(model_.version());
      fill_response(*outputs, outputs_, request_, response_);
      finish(nullptr);
    };
    return call;
  }

  void finish(const Error* error) {
    model_.metrics().answered(Door::kV2Grpc, error, Clock::now() - start_);
    reactor_->Finish(error ? to_v2_grpc(*error) : grpc::Status::OK);
  }

  Model& model_;
  grpc::CallbackServerContext& context_;
  grpc::ServerUnaryReactor* reactor_ = context_.DefaultReactor();
  const inference::ModelInferRequest& request_;
  inference::ModelInferResponse& response_;
  TensorMemory memory_;
  std::vector<std::string> outputs_;
  Clock::time_point start_ = Clock::now();
};

template <class Field>
void describe(std::span<const TensorInfo> infos, Field* out) {
  for (const TensorInfo& info : infos) {
    auto* row = out->Add();
    row->set_name(info.name);
    row->set_datatype(std::string(v2_name(info.type)));
    for (int64_t dim : info.shape) row->add_shape(dim);
  }
}

}  // namespace

grpc::ServerUnaryReactor* V2Service::ServerLive(grpc::CallbackServerContext* context,
                                                const inference::ServerLiveRequest*,
                                                inference::ServerLiveResponse* response) {
  response->set_live(true);
  return answer(context);
}

grpc::ServerUnaryReactor* V2Service::ServerReady(grpc::CallbackServerContext* context,
                                                 const inference::ServerReadyRequest*,
                                                 inference::ServerReadyResponse* response) {
  response->set_ready(ready_);
  return answer(context);
}

grpc::ServerUnaryReactor* V2Service::ModelReady(grpc::CallbackServerContext* context,
                                                const inference::ModelReadyRequest* request,
                                                inference::ModelReadyResponse* response) {
  if (auto ok = model_.check_name(request->name(), request->version()); !ok)
    return answer(context, to_v2_grpc(ok.error()));
  response->set_ready(ready_);
  return answer(context);
}

grpc::ServerUnaryReactor* V2Service::ServerMetadata(grpc::CallbackServerContext* context,
                                                    const inference::ServerMetadataRequest*,
                                                    inference::ServerMetadataResponse* response) {
  response->set_name(std::string(kV2ServerName));
  response->set_version(TIDEMILL_VERSION);
  response->add_extensions(std::string(kV2Extension));
  return answer(context);
}

grpc::ServerUnaryReactor* V2Service::ModelMetadata(grpc::CallbackServerContext* context,
                                                   const inference::ModelMetadataRequest* request,
                                                   inference::ModelMetadataResponse* response) {
  if (auto ok = model_.check_name(request->name(), request->version()); !ok)
    return answer(context, to_v2_grpc(ok.error()));
  response->set_name(model_.name());
  response->add_versions(model_.version());
  response->set_platform(std::string(kV2Platform));
  describe(model_.inputs(), response->mutable_inputs());
  describe(model_.outputs(), response->mutable_outputs());
  return answer(context);
}

grpc::ServerUnaryReactor* V2Service::ModelInfer(grpc::CallbackServerContext* context,
                                                const inference::ModelInferRequest* request,
                                                inference::ModelInferResponse* response) {
  return std::make_shared<InferCall>(model_, *context, *request, *response)->start();
}

}  // namespace tidemill::serving
