#include "gpus.h"

#include <dlfcn.h>

namespace tidemill::sdk {

// The part of NVML's ABI that we call: https://docs.nvidia.com/deploy/nvml-api/. Every function returns 0
// when it worked.
struct Gpus::Nvml {
  using Device = void*;
  struct Memory {
    unsigned long long total, free, used;  // bytes
  };
  struct Utilization {
    unsigned gpu, memory;  // percent
  };

  void* library = nullptr;
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*count)(unsigned*) = nullptr;
  int (*handle)(unsigned, Device*) = nullptr;
  int (*memory)(Device, Memory*) = nullptr;
  int (*utilization)(Device, Utilization*) = nullptr;
  int (*power)(Device, unsigned*) = nullptr;        // milliwatts
  int (*power_limit)(Device, unsigned*) = nullptr;  // milliwatts
  bool started = false;

  explicit Nvml(const char* name) : library(::dlopen(name, RTLD_NOW | RTLD_LOCAL)) {
    started = library && find("nvmlInit_v2", init) && find("nvmlShutdown", shutdown) &&
              find("nvmlDeviceGetCount_v2", count) && find("nvmlDeviceGetHandleByIndex_v2", handle) &&
              find("nvmlDeviceGetMemoryInfo", memory) && find("nvmlDeviceGetUtilizationRates", utilization) &&
              find("nvmlDeviceGetPowerUsage", power) &&
              find("nvmlDeviceGetEnforcedPowerLimit", power_limit) && init() == 0;
  }
  ~Nvml() {
    if (started) shutdown();
    if (library) ::dlclose(library);
  }
  Nvml(const Nvml&) = delete;

  template <class Function>
  bool find(const char* name, Function& function) {
    function = reinterpret_cast<Function>(::dlsym(library, name));
    return function != nullptr;
  }

  GpuState state_of(Device device) const {
    GpuState state;
    if (Memory bytes{}; memory(device, &bytes) == 0) {
      state.memory_used = static_cast<double>(bytes.used);
      state.memory_total = static_cast<double>(bytes.total);
    }
    if (Utilization percent{}; utilization(device, &percent) == 0) state.utilization = percent.gpu;
    unsigned used = 0, limit = 0;
    if (power(device, &used) == 0 && power_limit(device, &limit) == 0) {
      state.power = used / 1000.0;
      state.power_limit = limit / 1000.0;
    }
    return state;
  }
};

Gpus::Gpus(const char* library) : nvml_(std::make_unique<Nvml>(library)) {}
Gpus::Gpus(Gpus&&) noexcept = default;
Gpus& Gpus::operator=(Gpus&&) noexcept = default;
Gpus::~Gpus() = default;

std::vector<GpuState> Gpus::now() const {
  std::vector<GpuState> states;
  unsigned count = 0;
  if (!nvml_->started || nvml_->count(&count) != 0) return states;
  for (unsigned i = 0; i < count; ++i) {
    Nvml::Device device = nullptr;
    states.push_back(nvml_->handle(i, &device) == 0 ? nvml_->state_of(device) : GpuState{});
  }
  return states;
}

}  // namespace tidemill::sdk
