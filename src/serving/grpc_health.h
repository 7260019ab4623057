// grpc.health.v1.Health: one status for the server and its services, told to watchers at once.
#pragma once

#include <grpcpp/grpcpp.h>

#include <mutex>
#include <set>
#include <vector>

#include "proto/health.grpc.pb.h"

namespace tidemill::serving {

class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
  explicit HealthService(std::set<std::string, std::less<>> services) : services_(std::move(services)) {}

  void set_ready(bool ready);
  // Ends every Watch, so that the server can stop while clients watch.
  void end_watches();

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override;
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* context, const grpc::health::v1::HealthCheckRequest* request) override;

 private:
  class Watcher;
  using Status = grpc::health::v1::HealthCheckResponse::ServingStatus;
  Status status_of(std::string_view service) const;  // under mutex_

  mutable std::mutex mutex_;
  std::set<std::string, std::less<>> services_;
  std::set<Watcher*> watchers_;
  bool ready_ = true;
  bool ended_ = false;
};

}  // namespace tidemill::serving
