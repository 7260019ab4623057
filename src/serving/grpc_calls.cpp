#include "serving/grpc_calls.h"

#include <grpcpp/alarm.h>
#include <sched.h>

namespace tidemill::serving {

using Clock = std::chrono::steady_clock;

GrpcQueue::GrpcQueue(std::unique_ptr<grpc::ServerCompletionQueue> queue, std::chrono::microseconds busy_poll,
                     std::function<bool()> is_idle)
    : queue_(std::move(queue)), busy_poll_(busy_poll), is_idle_(std::move(is_idle)) {}

GrpcQueue::~GrpcQueue() {
  if (!thread_.joinable()) {
    queue_->Shutdown();
    return;
  }
  grpc::Alarm alarm;
  alarm.Set(queue_.get(), gpr_now(GPR_CLOCK_MONOTONIC), &close_);
  thread_.join();
}

void GrpcQueue::start() {
  thread_ = std::thread([this] { run(); });
}

void GrpcQueue::run() {
  for (Happened happened;;) {
    Next next = polls_ ? poll(happened) : Next::kNothing;
    if (next == Next::kNothing) next = wait(happened);
    if (next == Next::kEnd) return;
    static_cast<GrpcEvent*>(happened.event)->happened(happened.ok);
  }
}

GrpcQueue::Next GrpcQueue::poll(Happened& happened) {
  const auto end = Clock::now() + busy_poll_;
  do {
    switch (queue_->AsyncNext(&happened.event, &happened.ok, gpr_time_0(GPR_CLOCK_MONOTONIC))) {
      case grpc::CompletionQueue::SHUTDOWN:
        return Next::kEnd;
      case grpc::CompletionQueue::GOT_EVENT:
        return Next::kEvent;
      case grpc::CompletionQueue::TIMEOUT:
        sched_yield();  // a client on this machine may need the core in order to ask
    }
  } while (is_idle_() && Clock::now() < end);
  return Next::kNothing;
}

GrpcQueue::Next GrpcQueue::wait(Happened& happened) {
  const auto start = Clock::now();
  const bool more = queue_->Next(&happened.event, &happened.ok);
  polls_ = Clock::now() - start < busy_poll_;
  return more ? Next::kEvent : Next::kEnd;
}

void GrpcQueue::call_ended() {
  if (--calls_ == 0 && closing_) queue_->Shutdown();
}

void GrpcQueue::close(bool) {
  closing_ = true;
  if (calls_ == 0) queue_->Shutdown();
}

}  // namespace tidemill::serving
