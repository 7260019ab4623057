#include "api/request_log.h"

#include <fcntl.h>
#include <unistd.h>

#include "api/json_writer.h"
#include "base/time.h"

namespace tidemill::api {

Result<RequestLog> RequestLog::open(const fs::path& access_log) {
  RequestLog log;
  if (access_log == "-") {
    log.lines_ = Fd(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
  } else if (!access_log.empty()) {
    log.lines_ = TRY(open_file(access_log, O_WRONLY | O_CREAT | O_APPEND));
  }
  return log;
}

static std::string line_of(const Answered& answered) {
  JsonWriter json;
  json.begin_object()
      .field("time", format_utc(now_ms()))
      .field("peer", answered.peer)
      .field("method", answered.method)
      .field("path", answered.path);
  json.key("status").integer(answered.status).key("bytes").integer(static_cast<int64_t>(answered.bytes));
  json.key("ms").number(std::chrono::duration<double, std::milli>(answered.time).count()).end_object();
  return json.take() + "\n";
}

void RequestLog::add(const Answered& answered) {
  double seconds = std::chrono::duration<double>(answered.time).count();
  {
    std::lock_guard lock(counts_->mutex);
    ++counts_->by_status[{answered.route, answered.status}];
    ++counts_->by_method[{answered.method_label, answered.status}];
    Times& times = counts_->by_route[answered.route];
    ++times.count;
    times.seconds += seconds;
    for (size_t i = 0; i < kBounds.size(); ++i) times.within[i] += seconds <= kBounds[i];
  }
  if (lines_) (void)write_all(lines_, line_of(answered));  // a full disk must not stop the service
}

std::string RequestLog::print() const {
  std::string out = "# TYPE tidemill_http_requests_total counter\n";
  auto label = [](std::string_view route) { return route.empty() ? "other" : route; };
  std::lock_guard lock(counts_->mutex);
  for (const auto& [key, count] : counts_->by_status)
    fmt::format_to(std::back_inserter(out), "tidemill_http_requests_total{{route=\"{}\",status=\"{}\"}} {}\n",
                   label(key.first), key.second, count);
  out += "# TYPE mlflow_http_request_total counter\n";
  for (const auto& [key, count] : counts_->by_method)
    fmt::format_to(std::back_inserter(out), "mlflow_http_request_total{{method=\"{}\",status=\"{}\"}} {}\n",
                   key.first, key.second, count);
  out += "# TYPE tidemill_http_request_seconds histogram\n";
  for (const auto& [route, times] : counts_->by_route) {
    for (size_t i = 0; i < kBounds.size(); ++i)
      fmt::format_to(std::back_inserter(out),
                     "tidemill_http_request_seconds_bucket{{route=\"{}\",le=\"{}\"}} {}\n", label(route),
                     kBounds[i], times.within[i]);
    fmt::format_to(std::back_inserter(out),
                   "tidemill_http_request_seconds_bucket{{route=\"{0}\",le=\"+Inf\"}} {1}\n"
                   "tidemill_http_request_seconds_sum{{route=\"{0}\"}} {2}\n"
                   "tidemill_http_request_seconds_count{{route=\"{0}\"}} {1}\n",
                   label(route), times.count, times.seconds);
  }
  return out;
}

}  // namespace tidemill::api
