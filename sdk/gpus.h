// What NVIDIA's GPUs do, asked from the library that comes with their driver (NVML), loaded when it is there.
#pragma once

#include <memory>
#include <vector>

namespace tidemill::sdk {

// A negative figure: this GPU does not tell it.
struct GpuState {
  double memory_used = -1, memory_total = -1;  // bytes
  double utilization = -1;                     // percent of the time since the last sample
  double power = -1, power_limit = -1;         // watts
};

class Gpus {
 public:
  // No GPUs where the library or the driver is missing.
  explicit Gpus(const char* library = "libnvidia-ml.so.1");
  Gpus(Gpus&&) noexcept;
  Gpus& operator=(Gpus&&) noexcept;
  ~Gpus();

  std::vector<GpuState> now() const;

 private:
  struct Nvml;
  std::unique_ptr<Nvml> nvml_;
};

}  // namespace tidemill::sdk
