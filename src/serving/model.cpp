#include "serving/model.h"

#include <sched.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "serving/batch.h"
#include "serving/status.h"

namespace tidemill::serving {

int usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

namespace {

size_t input_bytes(const InferenceCall& call) {
  size_t bytes = 0;
  for (const TensorView& input : call.inputs) bytes += input.bytes.size();
  return bytes;
}

// Learns from runs whether the next one will be quick. A model may take longer for more rows, or for rows
// with other content: nothing larger than what was quick is expected to be, and each time it was wrong it
// takes a longer row of quick runs to believe in the next.
class QuickRuns {
 public:
  bool expected(size_t bytes) const { return quick_in_a_row_ >= needed_ && bytes <= largest_; }
  void ran(size_t bytes, std::chrono::nanoseconds duration, RunOn thread) {
    if (duration <= kQuick) {
      ++quick_in_a_row_;
      largest_ = std::max(largest_, bytes);
      return;
    }
    quick_in_a_row_ = 0;
    largest_ = std::min(largest_, bytes > 0 ? bytes - 1 : 0);
    if (thread == RunOn::kCaller) needed_ = std::min<size_t>(needed_ * 8, 1 << 20);
  }

 private:
  // A front's thread is not kept from its sockets for longer.
  static constexpr std::chrono::milliseconds kQuick{3};
  size_t quick_in_a_row_ = 0, needed_ = 8, largest_ = 0;
};

}  // namespace

// Everything that waits, and how much runs.
struct Model::Queue {
  enum class Admission { kRunNow, kQueued, kFull, kClosed };
  static constexpr size_t kLoneCalls = 16;

  Queue(size_t most_running, int64_t most_rows) : places(most_running), rows(most_rows) {}

  const size_t places;  // runs of the model at a time
  const int64_t rows;   // in one of them, of several calls
  mutable std::mutex mutex;
  std::condition_variable filled, idle;
  std::deque<std::unique_ptr<InferenceCall>> calls;
  size_t running = 0;  // of the model, by workers and by callers
  QuickRuns quick;
  size_t lone_calls = kLoneCalls;  // since the last one that came while another was in here
  bool closed = false;             // takes no new calls
  bool stopped = false;            // workers end

  // Takes the call only when it is queued.
  Admission admit(std::unique_ptr<InferenceCall>& call, RunOn thread, size_t most) {
    std::lock_guard lock(mutex);
    if (closed) return Admission::kClosed;
    const bool alone = running == 0 && calls.empty();
    lone_calls = alone ? lone_calls + 1 : 0;
    // A caller that runs the model cannot see whether other calls come meanwhile: now and then a worker
    // does, so that it can.
    if (thread == RunOn::kCaller && lone_calls > kLoneCalls && lone_calls % kLoneCalls != 0 &&
        quick.expected(input_bytes(*call))) {
      ++running;
      return Admission::kRunNow;
    }
    if (calls.size() >= most) return Admission::kFull;
    calls.push_back(std::move(call));
    return Admission::kQueued;
  }
  // The call that has waited longest, and those behind it that can run with it. Empty: it is time to end.
  Calls take() {
    std::unique_lock lock(mutex);
    filled.wait(lock, [&] { return stopped || (!calls.empty() && running < places); });
    Calls taken;
    if (calls.empty()) return taken;
    taken.push_back(std::move(calls.front()));
    calls.pop_front();
    ++running;
    join_others(taken);
    return taken;
  }
  void join_others(Calls& taken) {
    const int64_t own = rows_of(*taken[0]);
    if (own == 0) return;
    int64_t free = rows - own;
    for (auto call = calls.begin(); call != calls.end() && free > 0;) {
      const int64_t more = rows_of(**call);
      if (more > 0 && more <= free && fit_together(*taken[0], **call)) {
        free -= more;
        taken.push_back(std::move(*call));
        call = calls.erase(call);
      } else {
        ++call;
      }
    }
  }
  void learn(size_t bytes, std::chrono::nanoseconds duration, RunOn thread) {
    std::lock_guard lock(mutex);
    quick.ran(bytes, duration, thread);
  }
  void finished() {
    std::lock_guard lock(mutex);
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
  const int64_t rows = takes_batches(*session_) ? options_.max_batch_size : 1;
  queue_ = std::make_unique<Queue>(static_cast<size_t>(options_.workers), rows);
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
      if (is_runnable(*call, Clock::now())) {
        const size_t bytes = input_bytes(*call);
        queue_->learn(bytes, run_alone(*call), RunOn::kCaller);
      }
      call.reset();
      return queue_->finished();
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

bool Model::is_idle() const {
  std::lock_guard lock(queue_->mutex);
  return queue_->running == 0 && queue_->calls.empty();
}

void Model::work() {
  for (Calls calls = queue_->take(); !calls.empty(); calls = queue_->take()) {
    run(std::move(calls));
    queue_->finished();
  }
}

bool Model::is_runnable(InferenceCall& call, Clock::time_point now) {
  metrics_.queue.observe(now - call.queued_at);
  if (call.cancelled && call.cancelled()) {
    call.done(fail(Code::kCancelled, "the client has cancelled the request"));
    return false;
  }
  if (now > call.deadline) {
    call.done(fail(Code::kTimeout, "the deadline passed before the model could run"));
    return false;
  }
  return true;
}

void Model::run(Calls calls) {
  const Clock::time_point start = Clock::now();
  std::erase_if(calls, [&](auto& call) { return !is_runnable(*call, start); });
  if (calls.size() > 1) {
    ++metrics_.running;
    auto outputs = run_together(*session_, calls);
    --metrics_.running;
    if (outputs) {
      metrics_.inference.observe(Clock::now() - start);
      ++metrics_.inferences;
      for (size_t i = 0; i < calls.size(); ++i) calls[i]->done(std::move((*outputs)[i]));
      return;
    }
  }
  // Alone each gets its own error, and what is wrong with one does not touch the others.
  for (auto& call : calls) {
    const size_t bytes = input_bytes(*call);
    queue_->learn(bytes, run_alone(*call), RunOn::kWorker);
  }
}

std::chrono::nanoseconds Model::run_alone(InferenceCall& call) {
  const Clock::time_point start = Clock::now();
  ++metrics_.running;
  auto outputs = session_->run(call.inputs, call.outputs);
  --metrics_.running;
  const auto duration = Clock::now() - start;
  metrics_.inference.observe(duration);
  if (outputs) ++metrics_.inferences;
  call.done(std::move(outputs));
  return duration;
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
