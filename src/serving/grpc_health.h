// grpc.health.v1.Health: one status for the server and its services, told to watchers at once.
#pragma once

#include <grpcpp/grpcpp.h>

#include <mutex>
#include <set>

#include "proto/health.grpc.pb.h"
#include "serving/grpc_calls.h"

namespace tidemill::serving {

class HealthService {
 public:
  explicit HealthService(std::set<std::string, std::less<>> services) : services_(std::move(services)) {}
  grpc::Service& service() { return service_; }
  void serve(GrpcQueue& queue);

  void set_ready(bool ready);
  // Ends every Watch, so that the server can stop while clients watch.
  void end_watches();

 private:
  class Watcher;
  using Status = grpc::health::v1::HealthCheckResponse::ServingStatus;
  Status status_of(std::string_view service) const;  // under mutex_

  std::mutex mutex_;
  std::set<std::string, std::less<>> services_;
  std::set<Watcher*> watchers_;
  bool ready_ = true;
  bool ended_ = false;
  grpc::health::v1::Health::AsyncService service_;
};

}  // namespace tidemill::serving
