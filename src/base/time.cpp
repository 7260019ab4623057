#include "base/time.h"

#include <ctime>

namespace tidemill {

int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

static std::string format_tm(const std::tm& tm, const char* format) {
  char buffer[64];
  return {buffer, std::strftime(buffer, sizeof buffer, format, &tm)};
}

std::string format_utc(int64_t ms) {
  std::time_t seconds = ms / 1000;
  std::tm tm{};
  gmtime_r(&seconds, &tm);
  return format_tm(tm, "%Y-%m-%dT%H:%M:%SZ");
}

std::string format_local(int64_t ms) {
  std::time_t seconds = ms / 1000;
  std::tm tm{};
  localtime_r(&seconds, &tm);
  return format_tm(tm, "%Y-%m-%d %H:%M:%S");
}

}  // namespace tidemill
