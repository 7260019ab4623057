#include "serving/grpc_predict.h"

#include "base/id.h"
#include "serving/predict_codec.h"
#include "serving/status.h"

namespace tidemill::serving {

using ::onnxruntime::server::PredictRequest;
using ::onnxruntime::server::PredictResponse;

namespace {

// gRPC keeps the messages until finish(); this object stays a little longer. The default reactor, unlike one
// of our own, ends a call without gRPC waking another thread for it.
class PredictCall : public std::enable_shared_from_this<PredictCall> {
 public:
  PredictCall(Model& model, grpc::CallbackServerContext& context, const PredictRequest& request,
              PredictResponse& response)
      : model_(model), context_(context), request_(request), response_(response) {}

  grpc::ServerUnaryReactor* start() {
    answer();
    return reactor_;
  }

 private:
  void answer() {
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
    call->done = [this, self = shared_from_this()](Result<std::vector<OutputTensor>> outputs) {
      if (!outputs) return finish(&outputs.error());
      fill_response(*outputs, outputs_, response_elements(request_), response_);
      finish(nullptr);
    };
    model_.submit(std::move(call), RunOn::kCaller);
  }

  void finish(const Error* error) {
    model_.metrics().answered(Door::kPredictGrpc, error, Clock::now() - start_);
    reactor_->Finish(error ? to_grpc(*error) : grpc::Status::OK);
  }

  Model& model_;
  grpc::CallbackServerContext& context_;
  grpc::ServerUnaryReactor* reactor_ = context_.DefaultReactor();
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
  return std::make_shared<PredictCall>(model_, *context, *request, *response)->start();
}

}  // namespace tidemill::serving
