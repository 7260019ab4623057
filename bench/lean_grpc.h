// A gRPC client that costs next to nothing: one blocking socket, one HTTP/2 stream at a time (libnghttp2), no
// threads. What it waits for is the server. Wire: "gRPC over HTTP/2" of the gRPC documentation.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tidemill::bench {

class LeanGrpcClient {
 public:
  static Result<std::unique_ptr<LeanGrpcClient>> connect(int port);  // on 127.0.0.1, without TLS
  ~LeanGrpcClient();

  // A unary call; method: "/package.Service/Method". Returns the serialised answer. Any status but OK, and
  // anything unexpected, is an error; then the connection is of no more use.
  Result<std::string> call(std::string_view method, std::string_view message);

 private:
  struct State;
  explicit LeanGrpcClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tidemill::bench
