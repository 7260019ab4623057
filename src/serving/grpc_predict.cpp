#include "serving/grpc_predict.h"

#include "base/id.h"
#include "serving/predict_codec.h"
#include "serving/status.h"

namespace tidemill::serving {

using ::onnxruntime::server::PredictRequest;
using ::onnxruntime::server::PredictResponse;

namespace {

// Lives until the call is done, then deletes itself: gRPC keeps the messages until then.
class PredictCall final : public grpc::ServerUnaryReactor {
 public:
  PredictCall(Model& model, grpc::CallbackServerContext& context, const PredictRequest& request,
              PredictResponse& response)
      : model_(model), context_(context), request_(request), response_(response) {}

  void start() {
    context_.AddInitialMetadata("x-ms-request-id", new_uuid());
    const auto& metadata = context_.client_metadata();
    if (auto it = metadata.find("x-ms-client-request-id"); it != metadata.end())
      context_.AddInitialMetadata("x-ms-client-request-id",
                                  std::string(it->second.data(), it->second.size()));
    auto inputs = tensors_of(request_, memory_);
    if (!inputs) return finish(&inputs.error());
    auto call = std::make_unique<InferenceCall>();
    call->inputs = std::move(*inputs);
    call->outputs = outputs_ = requested_outputs(request_, model_.outputs());
    call->deadline = deadline_of(context_);
    call->cancelled = [this] { return context_.IsCancelled(); };
    call->done = [this](Result<std::vector<OutputTensor>> outputs) {
      if (!outputs) return finish(&outputs.error());
      fill_response(*outputs, outputs_, response_elements(request_), response_);
      finish(nullptr);
    };
    model_.submit(std::move(call));
  }

  void OnDone() override { delete this; }

 private:
  void finish(const Error* error) {
    model_.metrics().answered(Door::kPredictGrpc, error, Clock::now() - start_);
    Finish(error ? to_grpc(*error) : grpc::Status::OK);
  }

  Model& model_;
  grpc::CallbackServerContext& context_;
  const PredictRequest& request_;
  PredictResponse& response_;
  TensorMemory memory_;
  std::vector<std::string> outputs_;
  Clock::time_point start_ = Clock::now();
};

}  // namespace

grpc::Status to_grpc(const Error& error) {
  // gRPC sends the message in a header; a very long one would be refused by clients.
  constexpr size_t kMost = 4096;
  return {static_cast<grpc::StatusCode>(grpc_status(error)), error.message.substr(0, kMost)};
}

Clock::time_point deadline_of(const grpc::CallbackServerContext& context) {
  const auto wall = context.deadline();
  if (wall == std::chrono::system_clock::time_point::max()) return Clock::time_point::max();
  const auto left = wall - std::chrono::system_clock::now();
  return left > std::chrono::hours(24) ? Clock::time_point::max()
                                       : Clock::now() + std::chrono::duration_cast<Clock::duration>(left);
}

grpc::ServerUnaryReactor* PredictService::Predict(grpc::CallbackServerContext* context,
                                                  const PredictRequest* request, PredictResponse* response) {
  auto call = std::make_unique<PredictCall>(model_, *context, *request, *response);
  call->start();
  return call.release();
}

}  // namespace tidemill::serving
