// What the endpoint remembers of the requests it has answered: numbers for Prometheus, and lines for a file.
#pragma once

#include <array>
#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "base/files.h"
#include "base/result.h"

namespace tidemill::api {

struct Answered {
  std::string_view route;         // as the table of calls has it, "" when there is none; lives for ever
  std::string_view method_label;  // the method, or "other" for one that nobody knows; lives for ever
  std::string method, path, peer;
  int status = 0;
  uint64_t bytes = 0;  // of the answer's body
  std::chrono::nanoseconds time{};
};

class RequestLog {
 public:
  // A line of JSON for each request is appended to the file; "-" is stderr, empty none.
  static Result<RequestLog> open(const fs::path& access_log);

  bool writes_lines() const { return static_cast<bool>(lines_); }
  void add(const Answered& answered);
  // In Prometheus' text format 0.0.4.
  std::string print() const;

 private:
  static constexpr std::array<double, 12> kBounds = {0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01,
                                                     0.02,   0.05,   0.1,   0.5,   1,     5};
  struct Times {
    std::array<uint64_t, kBounds.size()> within{};
    uint64_t count = 0;
    double seconds = 0;
  };
  struct Counts {
    std::mutex mutex;
    std::map<std::pair<std::string_view, int>, uint64_t> by_status;  // of route and status
    std::map<std::string_view, Times> by_route;
    std::map<std::pair<std::string_view, int>, uint64_t> by_method;  // and status, as MLflow counts
  };

  std::unique_ptr<Counts> counts_ = std::make_unique<Counts>();
  Fd lines_;
};

}  // namespace tidemill::api
