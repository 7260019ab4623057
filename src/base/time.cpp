#include "base/time.h"

#include <charconv>
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

std::optional<int64_t> parse_duration(std::string_view text) {
  constexpr std::pair<char, double> kUnits[] = {{'d', 86'400e3}, {'h', 3'600e3}, {'m', 60e3}, {'s', 1e3}};
  std::string_view rest = text;
  double duration = 0;
  for (const auto& [unit, ms] : kUnits) {
    double amount = 0;
    auto [end, error] =
        std::from_chars(rest.data(), rest.data() + rest.size(), amount, std::chars_format::fixed);
    if (error != std::errc() || end == rest.data() + rest.size() || *end != unit || amount < 0) continue;
    duration += amount * ms;
    rest.remove_prefix(static_cast<size_t>(end - rest.data()) + 1);
  }
  if (!rest.empty() || text.empty() || !(duration < 9e18)) return std::nullopt;
  return static_cast<int64_t>(duration);
}

}  // namespace tidemill
