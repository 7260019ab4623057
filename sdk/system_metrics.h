// What the machine does while a run trains, under the names that MLflow's own system metrics have.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "gpus.h"

namespace tidemill::sdk {

// Counters since the machine started, and gauges.
struct MachineState {
  uint64_t cpu_busy = 0, cpu_total = 0;  // in ticks of all cores
  double memory_used = 0, memory_total = 0;
  double disk_used = 0, disk_free = 0;  // of the root file system; free for ordinary users
  double received = 0, sent = 0;        // bytes, all interfaces
  std::vector<GpuState> gpus;

  static MachineState now(const Gpus& gpus);  // what cannot be read stays 0
};

// The parts of MachineState that /proc tells as text: /proc/stat, /proc/meminfo, /proc/net/dev.
void read_cpu(std::string_view stat, MachineState& state);
void read_memory(std::string_view meminfo, MachineState& state);
void read_network(std::string_view net_dev, MachineState& state);

using NamedValues = std::vector<std::pair<std::string, double>>;

// In percent, megabytes (10^6) and watts; of the CPU between `before` and `now`.
NamedValues gauges(const MachineState& before, const MachineState& now);
// Megabytes over the network since `first`.
NamedValues network_totals(const MachineState& first, const MachineState& now);

// Samples on a thread of its own until it is destroyed.
class SystemMonitor {
 public:
  struct Settings {
    // MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL, in seconds.
    std::chrono::milliseconds interval{10'000};
    // MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING: of so many the mean is logged.
    int samples = 1;
    // MLFLOW_SYSTEM_METRICS_NODE_ID: system/NODE/...
    std::string node;

    static Settings from_environment();
  };
  // The first call has number 0.
  using Log = std::function<void(const NamedValues& metrics, int64_t number)>;

  SystemMonitor(Settings settings, Log log);
  ~SystemMonitor();
  SystemMonitor(const SystemMonitor&) = delete;

 private:
  void run();
  std::optional<NamedValues> mean_of_samples();  // nullopt: stopped

  const Settings settings_;
  const Log log_;
  const Gpus gpus_;
  const MachineState first_;
  MachineState before_;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace tidemill::sdk
