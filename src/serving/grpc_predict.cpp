#include "serving/grpc_predict.h"

#include "base/id.h"
#include "serving/predict_codec.h"
#include "serving/status.h"

namespace tidemill::serving {

using ::onnxruntime::server::PredictRequest;
using ::onnxruntime::server::PredictResponse;

namespace {

using Call = UnaryCall<PredictRequest, PredictResponse>;

// One request on its way through the model.
class Prediction : public std::enable_shared_from_this<Prediction> {
 public:
  Prediction(Model& model, Call& call) : model_(model), call_(call.shared_from_this()) {}

  void start() {
    tell_ids();
    auto inputs = tensors_of(call_->request(), memory_);
    if (!inputs) return finish(&inputs.error());
    auto inference = std::make_unique<InferenceCall>();
    inference->inputs = std::move(*inputs);
    inference->outputs = outputs_ = requested_outputs(call_->request(), model_.outputs());
    inference->deadline = deadline_of(call_->context());
    inference->cancelled = [this] { return call_->is_cancelled(); };
    inference->done = [this, self = shared_from_this()](Result<std::vector<OutputTensor>> outputs) {
      if (!outputs) return finish(&outputs.error());
      fill_response(*outputs, outputs_, response_elements(call_->request()), call_->response());
      finish(nullptr);
    };
    model_.submit(std::move(inference), RunOn::kCaller);
  }

 private:
  void tell_ids() {
    grpc::ServerContext& context = call_->context();
    context.AddInitialMetadata("x-ms-request-id", new_uuid());
    const auto& metadata = context.client_metadata();
    if (auto it = metadata.find("x-ms-client-request-id"); it != metadata.end())
      context.AddInitialMetadata("x-ms-client-request-id", std::string(it->second.data(), it->second.size()));
  }

  void finish(const Error* error) {
    model_.metrics().answered(Door::kPredictGrpc, error, Clock::now() - start_);
    call_->finish(error ? to_grpc(*error) : grpc::Status::OK);
  }

  Model& model_;
  const std::shared_ptr<Call> call_;
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

Clock::time_point deadline_of(const grpc::ServerContext& context) {
  const auto wall = context.deadline();
  if (wall == std::chrono::system_clock::time_point::max()) return Clock::time_point::max();
  const auto left = wall - std::chrono::system_clock::now();
  return left > std::chrono::hours(24) ? Clock::time_point::max()
                                       : Clock::now() + std::chrono::duration_cast<Clock::duration>(left);
}

void PredictService::serve(GrpcQueue& queue) {
  serve_unary(
      queue, service_, &decltype(service_)::RequestPredict,
      [this](Call& call) { std::make_shared<Prediction>(model_, call)->start(); }, kAwaitedInferences);
}

}  // namespace tidemill::serving
