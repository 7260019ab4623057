// Wall-clock time as MLflow counts it (ms since 1970, UTC) and elapsed time.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tidemill {

int64_t now_ms();
std::string format_utc(int64_t ms);    // "2026-11-24T16:06:45Z"
std::string format_local(int64_t ms);  // "2026-11-24 16:06:45" in the local time zone

// "1d2h3m4s", any of the parts, also with fractions, as milliseconds; nullopt for anything else.
std::optional<int64_t> parse_duration(std::string_view text);

// Seconds since construction or the last restart(), on the steady clock.
class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  void restart() { start_ = std::chrono::steady_clock::now(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace tidemill
