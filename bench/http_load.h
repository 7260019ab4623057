// A closed-loop load on an HTTP server: each connection sends its next request when the answer to the last
// one is in. One thread drives all connections, so that the server keeps the other core for itself.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tidemill::bench {

struct Load {
  uint16_t port = 0;  // on 127.0.0.1
  int connections = 1;
  double seconds = 3;
  std::string method = "POST";
  std::string target;
  // Where it is set, the target of a connection's request instead of that; what it returns must last.
  std::function<std::string_view(int64_t number)> target_of = {};
  // Appends the body of a connection's request, numbered from 0.
  std::function<void(int connection, int64_t number, std::string& body)> write_body;
};

struct LoadFigures {
  double per_second = 0;
  double median_ms = 0, p99_ms = 0, longest_ms = 0;
};

// Fails at the first answer that is not 200.
Result<LoadFigures> run_load(const Load& load);

}  // namespace tidemill::bench
