#include "evaluate/client.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "base/time.h"
#include "proto/health.grpc.pb.h"
#include "proto/onnxruntime_server.grpc.pb.h"
#include "sys/signals.h"

namespace tidemill::cifar10 {
namespace {

namespace server = ::onnxruntime::server;
using Service = server::PredictionService;
using Clock = std::chrono::steady_clock;

std::shared_ptr<grpc::Channel> connect(const std::string& target) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 10);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 50);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

Code code_of(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::UNIMPLEMENTED:
      return Code::kInvalid;
    case grpc::StatusCode::NOT_FOUND:
      return Code::kNotFound;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return Code::kTimeout;
    case grpc::StatusCode::CANCELLED:
      return Code::kCancelled;
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return Code::kUnavailable;
    default:
      return Code::kInternal;
  }
}

// The largest of the first output's values.
Result<int> class_of(const server::PredictResponse& response) {
  if (response.outputs().empty()) return fail(Code::kInternal, "the answer holds no output");
  const auto& tensor = response.outputs().begin()->second;
  const std::string& raw = tensor.raw_data();
  std::vector<float> values(raw.size() / sizeof(float));
  std::memcpy(values.data(), raw.data(), values.size() * sizeof(float));
  if (raw.empty()) values.assign(tensor.float_data().begin(), tensor.float_data().end());
  if (values.empty()) return fail(Code::kInternal, "the answer holds no numbers");
  for (float value : values)
    if (std::isnan(value)) return fail(Code::kInternal, "the answer holds NaN: the model is broken");
  return static_cast<int>(std::max_element(values.begin(), values.end()) - values.begin());
}

// State that the connections share.
struct Work {
  const DataSplit& data;
  const ClientOptions& options;
  const std::function<void(size_t)>& on_done;
  const std::function<Result<>()>& alive;
  Answers answers;
  std::atomic<size_t> next{0};
  std::atomic<bool> stopping{false};
  std::mutex mutex;
  std::optional<Error> error;

  void stop(Error failure) {
    std::lock_guard lock(mutex);
    if (!error) error = std::move(failure);
    stopping = true;
  }
};

struct Call {
  size_t image = 0;
  Clock::time_point sent;
  std::unique_ptr<grpc::ClientContext> context;
  server::PredictRequest request;
  server::PredictResponse response;
  grpc::Status status;
  std::unique_ptr<grpc::ClientAsyncResponseReader<server::PredictResponse>> reader;
};

class Connection {
 public:
  explicit Connection(Work& work) : work_(work), stub_(Service::NewStub(connect(work.options.target))) {}

  void run() {
    calls_.resize(static_cast<size_t>(std::max(1, work_.options.in_flight)));
    for (auto& call : calls_) {
      call = std::make_unique<Call>();
      send_next(*call);
    }
    while (waiting_ > 0) {
      void* tag = nullptr;
      bool ok = false;
      auto state =
          queue_.AsyncNext(&tag, &ok, std::chrono::system_clock::now() + std::chrono::milliseconds(100));
      check_outside();
      if (state == grpc::CompletionQueue::TIMEOUT) continue;
      if (state == grpc::CompletionQueue::SHUTDOWN) break;
      --waiting_;
      auto& call = *static_cast<Call*>(tag);
      receive(call);
      if (!work_.stopping) send_next(call);
    }
    queue_.Shutdown();
    void* tag = nullptr;
    for (bool ok = false; queue_.Next(&tag, &ok);) {
    }
  }

 private:
  void send_next(Call& call) {
    call.image = work_.next.fetch_add(1);
    if (call.image >= work_.data.count()) return;
    normalise(work_.data, call.image, work_.options.normalisation, pixels_);
    auto& tensor = (*call.request.mutable_inputs())[work_.options.input];
    if (tensor.dims_size() == 0) {
      for (size_t size : {size_t{1}, work_.data.channels, work_.data.height, work_.data.width})
        tensor.add_dims(static_cast<int64_t>(size));
      tensor.set_data_type(onnx::TensorProto::FLOAT);
    }
    tensor.mutable_raw_data()->assign(reinterpret_cast<const char*>(pixels_.data()),
                                      pixels_.size() * sizeof(float));
    call.context = std::make_unique<grpc::ClientContext>();
    call.context->set_deadline(std::chrono::system_clock::now() + work_.options.timeout);
    call.sent = Clock::now();
    call.reader = stub_->AsyncPredict(call.context.get(), call.request, &queue_);
    call.reader->Finish(&call.response, &call.status, &call);
    ++waiting_;
  }

  void receive(Call& call) {
    work_.answers.seconds[call.image] = std::chrono::duration<float>(Clock::now() - call.sent).count();
    const std::string& name = work_.data.names[call.image];
    if (!call.status.ok()) {
      // A server that has gone says more in its log than the broken connection does.
      if (auto there = work_.alive(); !there) return work_.stop(std::move(there).error());
      return work_.stop(Error{code_of(call.status.error_code()), call.status.error_message()}.in(name));
    }
    auto prediction = class_of(call.response);
    if (!prediction) return work_.stop(std::move(prediction).error().in(name));
    work_.answers.predictions[call.image] = *prediction;
    work_.on_done(1);
  }

  void check_outside() {
    if (interrupted()) work_.stop(Error{Code::kCancelled, "interrupted"});
    if (!work_.stopping || cancelled_) return;
    cancelled_ = true;
    for (auto& call : calls_)
      if (call && call->context) call->context->TryCancel();
  }

  Work& work_;
  std::unique_ptr<Service::Stub> stub_;
  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<Call>> calls_;
  std::vector<float> pixels_;
  size_t waiting_ = 0;
  bool cancelled_ = false;
};

}  // namespace

void normalise(const DataSplit& data, size_t image, const Normalisation& normalisation,
               std::vector<float>& out) {
  size_t plane = data.height * data.width;
  out.resize(data.channels * plane);
  const uint8_t* pixels = data.pixels.data() + image * data.image_bytes();
  for (size_t channel = 0; channel < data.channels; ++channel) {
    float mean = normalisation.mean[channel], deviation = normalisation.deviation[channel];
    for (size_t i = channel * plane; i < (channel + 1) * plane; ++i)
      out[i] = (static_cast<float>(pixels[i]) / 255.0f - mean) / deviation;
  }
}

Result<> wait_ready(const std::string& target, std::chrono::milliseconds timeout,
                    const std::function<Result<>()>& alive) {
  auto stub = grpc::health::v1::Health::NewStub(connect(target));
  Stopwatch watch;
  std::string last = "no answer";
  while (watch.seconds() < std::chrono::duration<double>(timeout).count()) {
    if (interrupted()) return fail(Code::kCancelled, "interrupted");
    TRY(alive());
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
    context.set_wait_for_ready(true);
    grpc::health::v1::HealthCheckRequest request;
    request.set_service("onnxruntime.server.PredictionService");
    grpc::health::v1::HealthCheckResponse response;
    grpc::Status status = stub->Check(&context, request, &response);
    if (status.ok() && response.status() == grpc::health::v1::HealthCheckResponse::SERVING) return {};
    if (status.ok()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    last = status.ok() ? "it is not serving yet" : status.error_message();
  }
  return fail(Code::kTimeout, "the server at {} was not ready after {} ms: {}", target, timeout.count(),
              last);
}

Result<Answers> classify(const DataSplit& data, const ClientOptions& options,
                         const std::function<void(size_t)>& on_done, const std::function<Result<>()>& alive) {
  if (options.normalisation.mean.size() != data.channels ||
      options.normalisation.deviation.size() != data.channels)
    return fail(Code::kInvalid, "images of {} channels, but a normalisation for {}", data.channels,
                options.normalisation.mean.size());
  Work work{.data = data, .options = options, .on_done = on_done, .alive = alive, .answers = {}, .error = {}};
  work.answers.predictions.assign(data.count(), -1);
  work.answers.seconds.assign(data.count(), 0);
  std::vector<std::jthread> threads;
  for (int i = 0; i < std::max(1, options.connections); ++i)
    threads.emplace_back([&work] { Connection(work).run(); });
  threads.clear();
  if (work.error) return tl::unexpected(std::move(*work.error));
  return std::move(work.answers);
}

}  // namespace tidemill::cifar10
