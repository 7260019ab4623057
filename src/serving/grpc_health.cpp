#include "serving/grpc_health.h"

namespace tidemill::serving {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

// One Watch stream, from awaiting it to its end; it keeps itself alive for so long. Events come on the
// queue's thread, updates from any: what both touch is guarded by the service's mutex.
class HealthService::Watcher final {
 public:
  static void await(HealthService& owner, GrpcQueue& queue) {
    auto watcher = std::make_unique<Watcher>(owner, queue);
    Watcher& w = *watcher;
    w.context_.AsyncNotifyWhenDone(&w.done_);
    owner.service_.RequestWatch(&w.context_, &w.request_, &w.writer_, queue.get(), queue.get(), &w.accepted_);
    w.self_ = std::move(watcher);
  }
  Watcher(HealthService& owner, GrpcQueue& queue) : owner_(owner), queue_(queue) {}

  // Under the mutex: brings the client up to date, unless a write is on its way (its end calls again).
  void update() {
    if (writing_ || finishing_) return;
    const Status status = owner_.status_of(request_.service());
    if (!cancelled_ && status != sent_) {
      sent_ = status;
      message_.set_status(status);
      writing_ = true;
      writer_.Write(message_, &written_);
    } else if (cancelled_ || owner_.ended_) {
      finishing_ = true;
      writer_.Finish({grpc::StatusCode::CANCELLED, "the server is shutting down"}, &finished_);
    }
  }

 private:
  using Event = MemberEvent<Watcher>;
  void accepted(bool ok) {
    if (!ok) return self_.reset();
    queue_.call_began();
    if (queue_.is_open()) await(owner_, queue_);
    std::lock_guard lock(owner_.mutex_);
    owner_.watchers_.insert(this);
    update();
  }
  void written(bool ok) {
    std::lock_guard lock(owner_.mutex_);
    writing_ = false;
    cancelled_ |= !ok;
    update();
  }
  void done(bool) {
    {
      std::lock_guard lock(owner_.mutex_);
      cancelled_ |= context_.IsCancelled();
      update();
    }
    release();
  }
  void finished(bool) { release(); }
  void release() {
    if (--to_come_ > 0) return;
    {
      std::lock_guard lock(owner_.mutex_);
      owner_.watchers_.erase(this);
    }
    queue_.call_ended();
    self_.reset();
  }

  HealthService& owner_;
  GrpcQueue& queue_;
  Event accepted_{*this, &Watcher::accepted}, written_{*this, &Watcher::written},
      done_{*this, &Watcher::done}, finished_{*this, &Watcher::finished};
  grpc::ServerContext context_;
  HealthCheckRequest request_;
  HealthCheckResponse message_;
  grpc::ServerAsyncWriter<HealthCheckResponse> writer_{&context_};
  int sent_ = -1;
  bool writing_ = false, finishing_ = false, cancelled_ = false;
  int to_come_ = 2;  // done and finished
  std::unique_ptr<Watcher> self_;
};

HealthService::Status HealthService::status_of(std::string_view service) const {
  if (!service.empty() && !services_.contains(service)) return HealthCheckResponse::SERVICE_UNKNOWN;
  return ready_ ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

void HealthService::set_ready(bool ready) {
  std::lock_guard lock(mutex_);
  ready_ = ready;
  for (Watcher* watcher : watchers_) watcher->update();
}

void HealthService::end_watches() {
  std::lock_guard lock(mutex_);
  ended_ = true;
  for (Watcher* watcher : watchers_) watcher->update();
}

void HealthService::serve(GrpcQueue& queue) {
  serve_unary(queue, service_, &decltype(service_)::RequestCheck, [this](auto& call) {
    std::unique_lock lock(mutex_);
    const Status status = status_of(call.request().service());
    lock.unlock();
    if (status == HealthCheckResponse::SERVICE_UNKNOWN)
      return call.finish({grpc::StatusCode::NOT_FOUND, "service name unknown"});
    call.response().set_status(status);
    call.finish();
  });
  Watcher::await(*this, queue);
}

}  // namespace tidemill::serving
