#include "serving/grpc_health.h"

namespace tidemill::serving {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

// One Watch stream. All members are guarded by the service's mutex; gRPC's calls are made under it too, which
// is safe because reactions never run inside them.
class HealthService::Watcher final : public grpc::ServerWriteReactor<HealthCheckResponse> {
 public:
  Watcher(HealthService& owner, std::string service) : owner_(owner), service_(std::move(service)) {}

  // Under the mutex: brings the client up to date, unless a write is on its way (its end calls again).
  void update() {
    if (writing_ || finished_) return;
    const Status status = owner_.status_of(service_);
    if (status != sent_) {
      sent_ = status;
      message_.set_status(status);
      writing_ = true;
      StartWrite(&message_);
    } else if (owner_.ended_) {
      finish();
    }
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard lock(owner_.mutex_);
    writing_ = false;
    if (ok)
      update();
    else
      finish();
  }
  void OnCancel() override {
    std::lock_guard lock(owner_.mutex_);
    if (!writing_) finish();
  }
  void OnDone() override {
    {
      std::lock_guard lock(owner_.mutex_);
      owner_.watchers_.erase(this);
    }
    delete this;
  }

 private:
  void finish() {
    if (finished_) return;
    finished_ = true;
    Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the server is shutting down"));
  }

  HealthService& owner_;
  std::string service_;
  HealthCheckResponse message_;
  int sent_ = -1;
  bool writing_ = false, finished_ = false;
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

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context,
                                               const HealthCheckRequest* request,
                                               HealthCheckResponse* response) {
  std::lock_guard lock(mutex_);
  const Status status = status_of(request->service());
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
    reactor->Finish(grpc::Status(grpc::StatusCode::NOT_FOUND, "service name unknown"));
    return reactor;
  }
  response->set_status(status);
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerWriteReactor<HealthCheckResponse>* HealthService::Watch(grpc::CallbackServerContext*,
                                                                    const HealthCheckRequest* request) {
  // A reactor deletes itself when its stream is done.
  auto watcher = std::make_unique<Watcher>(*this, request->service());
  std::lock_guard lock(mutex_);
  watchers_.insert(watcher.get());
  watcher->update();
  return watcher.release();
}

}  // namespace tidemill::serving
