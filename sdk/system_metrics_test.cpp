// What is read of /proc and of NVML, and what becomes of it: MLflow's names, its units, its settings.
#include "system_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

namespace tidemill::sdk {
namespace {

std::map<std::string, double> as_map(const NamedValues& values) { return {values.begin(), values.end()}; }

TEST(SystemMetrics, ProcessorTimeIsBusyUnlessIdleOrWaitingForADisk) {
  MachineState before, now;
  read_cpu("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 1 1 1\n", before);
  read_cpu("cpu  150 10 130 780 110 10 5 5 60 0\n", now);
  EXPECT_EQ(before.cpu_busy, 200u);
  EXPECT_EQ(before.cpu_total, 1000u);
  EXPECT_NEAR(as_map(gauges(before, now))["cpu_utilization_percentage"], 110.0 / 200 * 100, 1e-9);
}

TEST(SystemMetrics, CachesAreNotUsedMemory) {
  MachineState state;
  read_memory(
      "MemTotal:  1000 kB\nMemFree:  300 kB\nMemAvailable: 700 kB\nBuffers: 50 kB\nCached:  100 kB\n"
      "SwapCached: 7 kB\nSReclaimable: 50 kB\n",
      state);
  EXPECT_EQ(state.memory_used, 500 * 1024);
  EXPECT_EQ(as_map(gauges({}, state))["system_memory_usage_percentage"], 50);
}

TEST(SystemMetrics, TheNetworkIsCountedFromTheStartOverAllInterfaces) {
  MachineState first, now;
  read_network(
      "Inter-| Receive | Transmit\n face |bytes packets\n  lo: 1000 1 0 0 0 0 0 0 1000 1 0\neth0:5 1\n",
      first);
  read_network("    lo: 2001000 1 0 0 0 0 0 0 1001000 1 0 0\n", now);
  auto totals = as_map(network_totals(first, now));
  EXPECT_NEAR(totals["network_receive_megabytes"], 1.999995, 1e-9);
  EXPECT_NEAR(totals["network_transmit_megabytes"], 1, 1e-9);
}

TEST(SystemMetrics, AnUnreadableProcGivesZeroesAndNoCrash) {
  for (const char* text : {"", "cpu", "cpu x y", "MemTotal:", ":", "a:b:c", "cpu  18446744073709551616"}) {
    MachineState state;
    read_cpu(text, state);
    read_memory(text, state);
    read_network(text, state);
    for (const auto& [name, value] : gauges(state, state)) EXPECT_TRUE(value == 0) << name << " of " << text;
  }
}

TEST(SystemMetrics, EveryGpuHasWhatItTells) {
  MachineState state = MachineState::now(Gpus(FAKE_NVML));
  auto values = as_map(gauges(state, state));
  EXPECT_EQ(values["gpu_0_memory_usage_megabytes"], 30000);
  EXPECT_EQ(values["gpu_1_memory_usage_percentage"], 25);
  EXPECT_EQ(values["gpu_0_utilization_percentage"], 50);
  EXPECT_EQ(values["gpu_0_power_usage_watts"], 350);
  EXPECT_EQ(values["gpu_0_power_usage_percentage"], 50);
  EXPECT_EQ(values.count("gpu_1_power_usage_watts"), 0u);
}

TEST(SystemMetrics, WithoutADriverThereAreNoGpus) {
  EXPECT_TRUE(Gpus("libthere-is-no-such.so").now().empty());
  EXPECT_TRUE(Gpus("libc.so.6").now().empty()) << "a library that is not NVML";
}

TEST(SystemMetrics, TheMonitorLogsMeansUnderMlflowsNamesUntilItGoes) {
  ::setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.001", 1);
  ::setenv("MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING", "3", 1);
  ::setenv("MLFLOW_SYSTEM_METRICS_NODE_ID", "n1", 1);
  auto settings = SystemMonitor::Settings::from_environment();
  for (const char* name : {"SAMPLING_INTERVAL", "SAMPLES_BEFORE_LOGGING", "NODE_ID"})
    ::unsetenv((std::string("MLFLOW_SYSTEM_METRICS_") + name).c_str());
  EXPECT_EQ(settings.interval.count(), 1);
  std::mutex mutex;
  std::condition_variable logged;
  std::vector<int64_t> numbers;
  std::map<std::string, double> last;
  {
    SystemMonitor monitor(settings, [&](const NamedValues& values, int64_t number) {
      std::lock_guard lock(mutex);
      numbers.push_back(number);
      last = as_map(values);
      logged.notify_all();
    });
    std::unique_lock lock(mutex);
    logged.wait(lock, [&] { return numbers.size() >= 2; });
  }
  EXPECT_EQ(numbers[0], 0);
  EXPECT_EQ(numbers[1], 1);
  for (const char* name :
       {"cpu_utilization_percentage", "system_memory_usage_megabytes", "system_memory_usage_percentage",
        "disk_usage_percentage", "disk_usage_megabytes", "disk_available_megabytes",
        "network_receive_megabytes", "network_transmit_megabytes"})
    EXPECT_EQ(last.count(std::string("system/n1/") + name), 1u) << name;
  EXPECT_GT(last["system/n1/system_memory_usage_percentage"], 0);
  EXPECT_GT(last["system/n1/disk_available_megabytes"], 0);
}

}  // namespace
}  // namespace tidemill::sdk
