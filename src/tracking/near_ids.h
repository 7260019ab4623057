// Ids of runs that are made at once begin alike: the index of ids keeps them side by side then, so that a
// group of calls writes one of its pages instead of one for each new run.
#pragma once

#include <chrono>
#include <mutex>
#include <string>

namespace tidemill::tracking {

class NearIds {
 public:
  using Clock = std::chrono::steady_clock;

  // A random id, of new_run_id(), with its first digits replaced by those of the ids just before. From any
  // thread.
  std::string near_last(std::string id, Clock::time_point now = Clock::now());

 private:
  std::mutex mutex_;
  std::string beginning_;
  int left_ = 0;  // that may still begin so
  Clock::time_point last_{};
};

}  // namespace tidemill::tracking
