// Counts attempts that failed, by who made them, and says when the next one may be made: a few at once, then
// one every so often. Thread-safe.
#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace tidemill::auth {

class Attempts {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // at_once attempts may fail, and one more in each interval.
  Attempts(int at_once, std::chrono::milliseconds interval) : at_once_(at_once), interval_(interval) {}

  // Whether one may be made now; zero: yes, and it counts as failed until forgive(). Else how long to wait.
  std::chrono::milliseconds begin(std::string_view who, Time now);
  // It did not fail after all.
  void forgive(std::string_view who);

 private:
  // A bucket that runs empty by failures and is filled by time: full at `full`.
  std::unordered_map<std::string, Time> full_at_;
  std::mutex mutex_;
  const int at_once_;
  const std::chrono::milliseconds interval_;
};

}  // namespace tidemill::auth
