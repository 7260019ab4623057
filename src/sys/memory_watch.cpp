#include "sys/memory_watch.h"

#include <charconv>

#include "base/text.h"

namespace tidemill {
namespace {

constexpr std::string_view kCounter = "oom_kill ";

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

fs::path default_file() {
  fs::path file = memory_events_file(read_file("/proc/self/cgroup", 1 << 20).value_or(""));
  return file.empty() ? fs::path("/proc/vmstat") : file;
}

}  // namespace

fs::path memory_events_file(std::string_view cgroups, const fs::path& root) {
  for (const auto& line : split(cgroups, '\n')) {
    std::vector<std::string> fields = split(line, ':');
    if (fields.size() < 3) continue;
    std::string group = fields[2].starts_with('/') ? fields[2].substr(1) : fields[2];
    fs::path file;
    if (fields[1].empty()) file = root / group / "memory.events";
    for (const auto& controller : split(fields[1], ','))
      if (controller == "memory") file = root / "memory" / group / "memory.oom_control";
    if (!file.empty() && is_file(file)) return file;
  }
  return {};
}

MemoryWatch::MemoryWatch() : MemoryWatch(default_file()) {}
MemoryWatch::MemoryWatch(fs::path file) : file_(std::move(file)), last_(count()) {}

std::optional<uint64_t> MemoryWatch::count() const {
  for (const auto& line : split(read_file(file_, 1 << 20).value_or(""), '\n')) {
    if (!line.starts_with(kCounter)) continue;
    uint64_t value = 0;
    auto [end, error] = std::from_chars(line.data() + kCounter.size(), line.data() + line.size(), value);
    if (error == std::errc()) return value;
  }
  return std::nullopt;
}

bool MemoryWatch::killed_something() {
  auto now = count();
  return now && now > std::exchange(last_, now).value_or(*now);
}

}  // namespace tidemill
