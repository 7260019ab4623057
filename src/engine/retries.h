// Further attempts of steps that have failed: whether there is one, and when.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "config/retry.h"

namespace tidemill::engine {

// The failures of one step so far.
struct FailureCount {
  int own = 0, infrastructure = 0;
};

inline constexpr std::chrono::milliseconds kNoLimit = std::chrono::milliseconds::max();

// Counts the failure. How long to wait before the next attempt: uniform, in [0, 1), takes its part of the
// policy's delay, and of the time that is left. nullopt: there is no further attempt.
std::optional<std::chrono::milliseconds> next_delay(const config::RetryPolicy& policy,
                                                    const config::Failure& failure, FailureCount& count,
                                                    double uniform,
                                                    std::chrono::milliseconds most = kNoLimit);

// The steps that wait for their next attempt.
class Retries {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // random: in [0, 1); null: the system's.
  explicit Retries(std::function<double()> random);

  // The step waits from now on, if it may be tried again within `most`; returns how long.
  std::optional<std::chrono::milliseconds> wait(size_t step, const config::RetryPolicy& policy,
                                                const config::Failure& failure,
                                                std::chrono::milliseconds most);
  bool empty() const { return waiting_.empty(); }
  // Those whose time has come; they do not wait any more.
  std::vector<size_t> due(Time now);
  std::vector<size_t> take_all() { return due(Time::max()); }
  std::chrono::milliseconds until_next(std::chrono::milliseconds most) const;

 private:
  std::function<double()> random_;
  std::map<size_t, FailureCount> counts_;
  std::map<size_t, Time> waiting_;
};

}  // namespace tidemill::engine
