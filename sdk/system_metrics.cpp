#include "system_metrics.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <map>

#include "base/files.h"
#include "server.h"

namespace tidemill::sdk {
namespace {

std::string_view take_word(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(word.size());
  return word;
}

uint64_t take_number(std::string_view& text) {
  std::string_view word = take_word(text);
  uint64_t number = 0;
  std::from_chars(word.data(), word.data() + word.size(), number);
  return number;
}

std::string_view take_line(std::string_view& text) {
  std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  return line;
}

// /proc's files say that they are empty: they are read to their end.
std::string proc_text(const char* path) {
  constexpr size_t kEnough = 64 << 10;
  auto file = open_file(path, 0);
  std::string text(kEnough, '\0');
  size_t have = 0;
  while (file && have < text.size()) {
    auto got = read_some(*file, std::span(text).subspan(have));
    if (!got || *got == 0) break;
    have += *got;
  }
  text.resize(have);
  return text;
}

constexpr double kMega = 1e6;

double percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }
double to_tenth(double value) { return std::round(value * 10) / 10; }

}  // namespace

// "cpu  user nice system idle iowait irq softirq steal guest guest_nice"; guests are in user and nice
// already.
void read_cpu(std::string_view stat, MachineState& state) {
  std::string_view line = take_line(stat);
  if (take_word(line) != "cpu") return;
  uint64_t idle = 0;
  for (int column = 0; column < 8; ++column) {
    uint64_t ticks = take_number(line);
    state.cpu_total += ticks;
    if (column == 3 || column == 4) idle += ticks;
  }
  state.cpu_busy = state.cpu_total - idle;
}

// Used is what is neither free nor a cache.
void read_memory(std::string_view meminfo, MachineState& state) {
  while (!meminfo.empty()) {
    std::string_view line = take_line(meminfo), name = take_word(line);
    double bytes = static_cast<double>(take_number(line)) * 1024;
    if (name == "MemTotal:") state.memory_total = bytes, state.memory_used += bytes;
    if (name == "MemFree:" || name == "Buffers:" || name == "Cached:" || name == "SReclaimable:")
      state.memory_used -= bytes;
  }
}

// "eth0: bytes packets errs drop fifo frame compressed multicast bytes ..."; two lines of titles have no
// colon.
void read_network(std::string_view net_dev, MachineState& state) {
  while (!net_dev.empty()) {
    std::string_view line = take_line(net_dev);
    size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    line.remove_prefix(colon + 1);
    state.received += static_cast<double>(take_number(line));
    for (int column = 1; column < 8; ++column) take_number(line);
    state.sent += static_cast<double>(take_number(line));
  }
}

MachineState MachineState::now(const Gpus& gpus) {
  MachineState state;
  state.gpus = gpus.now();
  read_cpu(proc_text("/proc/stat"), state);
  read_memory(proc_text("/proc/meminfo"), state);
  read_network(proc_text("/proc/net/dev"), state);
  struct statvfs disk{};
  if (::statvfs("/", &disk) == 0) {
    double block = static_cast<double>(disk.f_frsize);
    state.disk_used = static_cast<double>(disk.f_blocks - disk.f_bfree) * block;
    state.disk_free = static_cast<double>(disk.f_bavail) * block;
  }
  return state;
}

NamedValues gauges(const MachineState& before, const MachineState& now) {
  double busy = static_cast<double>(now.cpu_busy) - static_cast<double>(before.cpu_busy);
  double total = static_cast<double>(now.cpu_total) - static_cast<double>(before.cpu_total);
  NamedValues values = {{"cpu_utilization_percentage", percent(busy, total)},
                        {"system_memory_usage_megabytes", now.memory_used / kMega},
                        {"system_memory_usage_percentage", percent(now.memory_used, now.memory_total)},
                        {"disk_usage_percentage", percent(now.disk_used, now.disk_used + now.disk_free)},
                        {"disk_usage_megabytes", now.disk_used / kMega},
                        {"disk_available_megabytes", now.disk_free / kMega}};
  for (size_t i = 0; i < now.gpus.size(); ++i) {
    const GpuState& gpu = now.gpus[i];
    auto add = [&](std::string_view name, double value) {
      values.emplace_back(fmt::format("gpu_{}_{}", i, name), value);
    };
    if (gpu.memory_total > 0) {
      add("memory_usage_percentage", percent(gpu.memory_used, gpu.memory_total));
      add("memory_usage_megabytes", gpu.memory_used / kMega);
    }
    if (gpu.utilization >= 0) add("utilization_percentage", gpu.utilization);
    if (gpu.power_limit > 0) {
      add("power_usage_watts", gpu.power);
      add("power_usage_percentage", percent(gpu.power, gpu.power_limit));
    }
  }
  return values;
}

NamedValues network_totals(const MachineState& first, const MachineState& now) {
  return {{"network_receive_megabytes", (now.received - first.received) / kMega},
          {"network_transmit_megabytes", (now.sent - first.sent) / kMega}};
}

SystemMonitor::Settings SystemMonitor::Settings::from_environment() {
  Settings settings;
  double seconds = std::atof(env("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL").c_str());
  constexpr double kShortest = 0.001, kLongest = 1e6;
  if (seconds > 0)
    settings.interval =
        std::chrono::milliseconds(std::llround(std::clamp(seconds, kShortest, kLongest) * 1000));
  int samples = std::atoi(env("MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING").c_str());
  if (samples > 0) settings.samples = samples;
  settings.node = env("MLFLOW_SYSTEM_METRICS_NODE_ID");
  return settings;
}

SystemMonitor::SystemMonitor(Settings settings, Log log)
    : settings_(std::move(settings)),
      log_(std::move(log)),
      first_(MachineState::now(gpus_)),
      before_(first_) {
  thread_ = std::thread([this] { run(); });
}

SystemMonitor::~SystemMonitor() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  thread_.join();
}

std::optional<NamedValues> SystemMonitor::mean_of_samples() {
  // By name: a GPU may leave out what it told before.
  std::map<std::string, std::pair<double, int>> sums;
  for (int sample = 0; sample < settings_.samples; ++sample) {
    {
      std::unique_lock lock(mutex_);
      if (stop_.wait_for(lock, settings_.interval, [&] { return stopping_; })) return std::nullopt;
    }
    MachineState now = MachineState::now(gpus_);
    for (const auto& [name, value] : gauges(before_, now)) {
      sums[name].first += value;
      ++sums[name].second;
    }
    before_ = std::move(now);
  }
  std::string prefix = settings_.node.empty() ? "system/" : "system/" + settings_.node + "/";
  NamedValues mean;
  for (const auto& [name, sum] : sums) mean.emplace_back(prefix + name, to_tenth(sum.first / sum.second));
  for (const auto& [name, value] : network_totals(first_, before_)) mean.emplace_back(prefix + name, value);
  return mean;
}

void SystemMonitor::run() {
  for (int64_t number = 0;; ++number) {
    auto metrics = mean_of_samples();
    if (!metrics) return;
    log_(*metrics, number);
  }
}

}  // namespace tidemill::sdk
