// The model server: a model behind HTTP and gRPC, and how it ends.
#pragma once

#include <memory>

#include "base/result.h"
#include "serving/options.h"

namespace tidemill::serving {

class Server {
 public:
  // Loads the model, listens, and is ready. Errors name the model file or the port.
  static Result<std::unique_ptr<Server>> start(const Options& options);
  ~Server();

  uint16_t http_port() const;
  uint16_t grpc_port() const;

  // Not ready from now on, but requests are still taken.
  void set_not_ready();
  // Stops listening, finishes what is queued and in flight, closes. False when the time was too short and
  // requests were cut off.
  bool drain(std::chrono::milliseconds timeout);

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tidemill::serving
