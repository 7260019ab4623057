#include "serving/model.h"

#include <sched.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "serving/status.h"

namespace tidemill::serving {

int usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

// Everything that waits, and how much runs. A batcher would take several calls that fit together where take()
// takes one.
struct Model::Queue {
  enum class Admission { kRunNow, kQueued, kFull, kClosed };

  explicit Queue(size_t most_running) : places(most_running) {}

  const size_t places;  // calls that run at a time
  mutable std::mutex mutex;
  std::condition_variable filled, idle;
  std::deque<std::unique_ptr<InferenceCall>> calls;
  size_t running = 0;    // calls in the model, by workers and by callers
  size_t callers = 0;    // those of them that run on their caller's thread
  bool closed = false;   // takes no new calls
  bool stopped = false;  // workers end

  // Takes the call only when it is queued.
  Admission admit(std::unique_ptr<InferenceCall>& call, RunOn thread, size_t most) {
    std::lock_guard lock(mutex);
    if (closed) return Admission::kClosed;
    if (thread == RunOn::kCaller && callers == 0 && calls.empty() && running < places) {
      ++running, ++callers;
      return Admission::kRunNow;
    }
    if (calls.size() >= most) return Admission::kFull;
    calls.push_back(std::move(call));
    return Admission::kQueued;
  }
  std::unique_ptr<InferenceCall> take() {
    std::unique_lock lock(mutex);
    filled.wait(lock, [&] { return stopped || (!calls.empty() && running < places); });
    if (calls.empty()) return nullptr;
    auto call = std::move(calls.front());
    calls.pop_front();
    ++running;
    return call;
  }
  void finished(RunOn thread) {
    std::lock_guard lock(mutex);
    if (thread == RunOn::kCaller) --callers;
    --running;
    if (!calls.empty())
      filled.notify_one();
    else if (running == 0)
      idle.notify_all();
  }
};

Model::Model(ModelOptions options, std::unique_ptr<Session> session)
    : options_(std::move(options)), session_(std::move(session)) {
  if (options_.workers <= 0) options_.workers = usable_cores();
  queue_ = std::make_unique<Queue>(static_cast<size_t>(options_.workers));
}

Result<std::unique_ptr<Model>> Model::load(const fs::path& path, const ModelOptions& options) {
  auto session = TRY(Session::load(path, options.session));
  std::unique_ptr<Model> model(new Model(options, std::move(session)));
  for (int i = 0; i < model->options_.workers; ++i)
    model->workers_.emplace_back([m = model.get()] { m->work(); });
  return model;
}

Model::~Model() {
  drain(Clock::now());
  {
    std::lock_guard lock(queue_->mutex);
    queue_->stopped = true;
  }
  queue_->filled.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

Result<> Model::check_name(std::string_view name, std::string_view version) const {
  if (name == options_.name && (version.empty() || version == options_.version)) return {};
  log_debug("asked for model '{}' version '{}'; this server has '{}' version '{}'", name, version,
            options_.name, options_.version);
  return tl::unexpected(ort_error(OrtCode::kNoModel, "No model loaded of that name."));
}

void Model::submit(std::unique_ptr<InferenceCall> call, RunOn thread) {
  call->queued_at = Clock::now();
  switch (queue_->admit(call, thread, options_.max_queue_size)) {
    case Queue::Admission::kQueued:
      return queue_->filled.notify_one();
    case Queue::Admission::kRunNow:
      run(*call);
      call.reset();
      return queue_->finished(RunOn::kCaller);
    case Queue::Admission::kFull:
      return call->done(fail(Code::kUnavailable,
                             "the server is busy: {} requests wait already; try again later",
                             options_.max_queue_size));
    case Queue::Admission::kClosed:
      return call->done(fail(Code::kUnavailable, "the server is shutting down"));
  }
}

size_t Model::queued() const {
  std::lock_guard lock(queue_->mutex);
  return queue_->calls.size();
}

void Model::work() {
  while (auto call = queue_->take()) {
    run(*call);
    call.reset();
    queue_->finished(RunOn::kWorker);
  }
}

void Model::run(InferenceCall& call) {
  const Clock::time_point start = Clock::now();
  metrics_.queue.observe(start - call.queued_at);
  if (call.cancelled && call.cancelled())
    return call.done(fail(Code::kCancelled, "the client has cancelled the request"));
  if (start > call.deadline)
    return call.done(fail(Code::kTimeout, "the deadline passed before the model could run"));
  ++metrics_.running;
  auto outputs = session_->run(call.inputs, call.outputs);
  --metrics_.running;
  metrics_.inference.observe(Clock::now() - start);
  if (outputs) ++metrics_.inferences;
  call.done(std::move(outputs));
}

bool Model::drain(Clock::time_point deadline) {
  std::unique_lock lock(queue_->mutex);
  queue_->closed = true;
  auto is_idle = [&] { return queue_->running == 0 && queue_->calls.empty(); };
  if (queue_->idle.wait_until(lock, deadline, is_idle)) return true;
  auto left = std::move(queue_->calls);
  queue_->calls.clear();
  lock.unlock();
  session_->terminate();
  for (auto& call : left) call->done(fail(Code::kUnavailable, "the server is shutting down"));
  lock.lock();
  queue_->idle.wait(lock, is_idle);
  return false;
}

}  // namespace tidemill::serving
