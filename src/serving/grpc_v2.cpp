#include "serving/grpc_v2.h"

#include "serving/grpc_predict.h"
#include "serving/status.h"
#include "serving/v2_grpc_codec.h"
#include "serving/v2_http.h"

namespace tidemill::serving {

namespace {

// Open Inference Protocol says NOT_FOUND where the old contract says INVALID_ARGUMENT.
grpc::Status to_v2_grpc(const Error& error) {
  if (error.code == Code::kNotFound) return {grpc::StatusCode::NOT_FOUND, error.message};
  return to_grpc(error);
}

using Call = UnaryCall<inference::ModelInferRequest, inference::ModelInferResponse>;

// One request on its way through the model.
class Inference : public std::enable_shared_from_this<Inference> {
 public:
  Inference(Model& model, Call& call) : model_(model), call_(call.shared_from_this()) {}

  void start() {
    if (auto inference = make_inference())
      model_.submit(std::move(*inference), RunOn::kCaller);
    else
      finish(&inference.error());
  }

 private:
  Result<std::unique_ptr<InferenceCall>> make_inference() {
    const inference::ModelInferRequest& request = call_->request();
    TRY(model_.check_name(request.model_name(), request.model_version()));
    auto inference = std::make_unique<InferenceCall>();
    inference->inputs = TRY(tensors_of(request, memory_));
    inference->outputs = outputs_ = requested_outputs(request, model_.outputs());
    inference->deadline = deadline_of(call_->context());
    if (auto it = request.parameters().find("timeout"); it != request.parameters().end())
      if (int64_t us = it->second.int64_param(); us > 0 && us < int64_t{1} << 40)
        inference->deadline = std::min(inference->deadline, start_ + std::chrono::microseconds(us));
    inference->cancelled = [this] { return call_->is_cancelled(); };
    inference->done = [this, self = shared_from_this()](Result<std::vector<OutputTensor>> outputs) {
      if (!outputs) return finish(&outputs.error());
      call_->response().set_model_name(model_.name());
      call_->response().set_model_version(model_.version());
      fill_response(*outputs, outputs_, call_->request(), call_->response());
      finish(nullptr);
    };
    return inference;
  }

  void finish(const Error* error) {
    model_.metrics().answered(Door::kV2Grpc, error, Clock::now() - start_);
    call_->finish(error ? to_v2_grpc(*error) : grpc::Status::OK);
  }

  Model& model_;
  const std::shared_ptr<Call> call_;
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

void V2Service::describe_model(inference::ModelMetadataResponse& response) const {
  response.set_name(model_.name());
  response.add_versions(model_.version());
  response.set_platform(std::string(kV2Platform));
  describe(model_.inputs(), response.mutable_inputs());
  describe(model_.outputs(), response.mutable_outputs());
}

void V2Service::serve(GrpcQueue& queue) {
  using Service = decltype(service_);
  serve_unary(queue, service_, &Service::RequestServerLive, [](auto& call) {
    call.response().set_live(true);
    call.finish();
  });
  serve_unary(queue, service_, &Service::RequestServerReady, [this](auto& call) {
    call.response().set_ready(ready_);
    call.finish();
  });
  serve_unary(queue, service_, &Service::RequestModelReady, [this](auto& call) {
    auto known = model_.check_name(call.request().name(), call.request().version());
    if (!known) return call.finish(to_v2_grpc(known.error()));
    call.response().set_ready(ready_);
    call.finish();
  });
  serve_unary(queue, service_, &Service::RequestServerMetadata, [](auto& call) {
    call.response().set_name(std::string(kV2ServerName));
    call.response().set_version(TIDEMILL_VERSION);
    call.response().add_extensions(std::string(kV2Extension));
    call.finish();
  });
  serve_unary(queue, service_, &Service::RequestModelMetadata, [this](auto& call) {
    auto known = model_.check_name(call.request().name(), call.request().version());
    if (!known) return call.finish(to_v2_grpc(known.error()));
    describe_model(call.response());
    call.finish();
  });
  serve_unary(
      queue, service_, &Service::RequestModelInfer,
      [this](Call& call) { std::make_shared<Inference>(model_, call)->start(); }, kAwaitedInferences);
}

}  // namespace tidemill::serving
