#include "api/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <charconv>

#include "base/files.h"
#include "base/text.h"

namespace tidemill::api {
namespace {

double number(std::string_view text) {
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Fields of proc_pid_stat(5), from the third one on: the second may hold spaces.
std::vector<std::string> own_stat() {
  std::string stat = read_file("/proc/self/stat").value_or("");
  return split(std::string_view(stat).substr(std::min(stat.rfind(')') + 2, stat.size())), ' ');
}

// Of the machine, in seconds since 1970.
double boot_time() {
  std::string stat = read_file("/proc/stat").value_or("");
  size_t at = stat.find("btime ");
  return at == std::string::npos ? 0 : number(std::string_view(stat).substr(at + 6));
}

double count_open_files() {
  std::error_code error;
  double count = 0;
  for (fs::directory_iterator it("/proc/self/fd", error), end; !error && it != end; it.increment(error))
    ++count;
  return count - 1;  // the one that reads the folder
}

void append(std::string& out, std::string_view name, std::string_view type, double value) {
  fmt::format_to(std::back_inserter(out), "# TYPE {0} {1}\n{0} {2}\n", name, type, value);
}

}  // namespace

std::string process_metrics() {
  constexpr size_t kUserTime = 11, kSystemTime = 12, kThreads = 17, kStart = 19, kResident = 21;
  std::vector<std::string> stat = own_stat();
  if (stat.size() <= kResident) return "";
  auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  std::string out;
  append(out, "process_cpu_seconds_total", "counter",
         (number(stat[kUserTime]) + number(stat[kSystemTime])) / ticks);
  append(out, "process_start_time_seconds", "gauge", boot_time() + number(stat[kStart]) / ticks);
  append(out, "process_resident_memory_bytes", "gauge",
         number(stat[kResident]) * static_cast<double>(sysconf(_SC_PAGESIZE)));
  append(out, "process_threads", "gauge", number(stat[kThreads]));
  append(out, "process_open_fds", "gauge", count_open_files());
  append(out, "process_max_fds", "gauge", static_cast<double>(files.rlim_cur));
  return out;
}

}  // namespace tidemill::api
