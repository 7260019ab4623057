// The model that is served: one session, a bounded queue before it, as many calls at a time as there are
// cores.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "serving/metrics.h"
#include "serving/session.h"
#include "serving/tensor.h"

namespace tidemill::serving {

using Clock = std::chrono::steady_clock;

// One request on its way through the model. Whoever makes it keeps the viewed memory alive until `done`.
struct InferenceCall {
  std::vector<TensorView> inputs;
  std::vector<std::string> outputs;  // names; empty: all
  Clock::time_point deadline = Clock::time_point::max();
  std::function<bool()> cancelled;  // the client has gone; may be empty
  // Called exactly once: on a worker thread, or from submit() when it refuses the call or runs it at once.
  std::function<void(Result<std::vector<OutputTensor>>)> done;
  Clock::time_point queued_at;  // set by submit()
};

// kCaller: the thread that submits the call may run it, when it will be quick, as far as one can tell, and
// calls come one by one. This saves a change of threads, and nobody waits for the thread meanwhile.
enum class RunOn { kWorker, kCaller };

struct ModelOptions {
  std::string name = "default";
  std::string version = "1";
  int workers = 0;              // 0: one for each core this process may use
  size_t max_queue_size = 256;  // calls that wait; above it kUnavailable
  int64_t max_batch_size = 8;   // rows of waiting calls that run as one (serving/batch.h)
  SessionOptions session;
};

class Model {
 public:
  static Result<std::unique_ptr<Model>> load(const fs::path& path, const ModelOptions& options);
  ~Model();

  const std::string& name() const { return options_.name; }
  const std::string& version() const { return options_.version; }
  const std::vector<TensorInfo>& inputs() const { return session_->inputs(); }
  const std::vector<TensorInfo>& outputs() const { return session_->outputs(); }
  // kNotFound with the contract's text unless this is the served model; an empty version is any.
  Result<> check_name(std::string_view name, std::string_view version) const;

  // Queues the call, or runs it at once (see RunOn). done gets kUnavailable when the queue is full or closed,
  // kTimeout when the deadline passes before the call runs, kCancelled when the client has gone by then.
  void submit(std::unique_ptr<InferenceCall> call, RunOn thread = RunOn::kWorker);
  size_t queued() const;
  bool is_idle() const;  // nothing waits, runs or is being answered
  Metrics& metrics() { return metrics_; }

  // Takes no more calls, answers those it has, and returns true once all are answered. At the deadline it
  // makes ONNX Runtime give up, answers the rest with kUnavailable and returns false.
  bool drain(Clock::time_point deadline);

 private:
  struct Queue;
  Model(ModelOptions options, std::unique_ptr<Session> session);
  void work();
  using Calls = std::vector<std::unique_ptr<InferenceCall>>;
  void run(Calls calls);
  std::chrono::nanoseconds run_alone(InferenceCall& call);
  bool is_runnable(InferenceCall& call, Clock::time_point now);

  ModelOptions options_;
  std::unique_ptr<Session> session_;
  Metrics metrics_;
  std::unique_ptr<Queue> queue_;
  std::vector<std::thread> workers_;
};

// Cores that this process may run on.
int usable_cores();

}  // namespace tidemill::serving
