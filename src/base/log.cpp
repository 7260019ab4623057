#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <mutex>

#include "base/log_sink.h"
#include "base/time.h"

namespace tidemill {

static std::atomic<LogLevel> current_level = LogLevel::kInfo;

static std::mutex sink_mutex;
static std::function<void(std::string_view)> sink;

void set_log_sink(std::function<void(std::string_view line)> to) {
  std::lock_guard lock(sink_mutex);
  sink = std::move(to);
}

void set_log_level(LogLevel level) { current_level = level; }
LogLevel log_level() { return current_level; }

void log_line(LogLevel level, std::string_view message) {
  constexpr std::string_view kNames[] = {"debug", "info", "warning", "error", ""};
  std::string line = fmt::format("{} {:<7}  {}\n", format_local(now_ms()).substr(11),
                                 kNames[static_cast<int>(level)], message);
  std::lock_guard lock(sink_mutex);
  if (sink) return sink(line);
  // A log that cannot be written has nowhere to report it.
  [[maybe_unused]] ssize_t ignored = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace tidemill
