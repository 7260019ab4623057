/* An NVML of two GPUs for system_metrics_test: 30 and 20 of 80 GB used, 50 %; the second does not tell its power. */
#include <stdint.h>

struct memory {
  unsigned long long total, free, used;
};
struct utilization {
  unsigned gpu, memory;
};

int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned* count) { return *count = 2, 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  *device = (void*)(uintptr_t)(index + 1);
  return 0;
}
int nvmlDeviceGetMemoryInfo(void* device, struct memory* out) {
  out->total = 80000000000ull;
  out->used = (uintptr_t)device == 1 ? 30000000000ull : 20000000000ull;
  out->free = out->total - out->used;
  return 0;
}
int nvmlDeviceGetUtilizationRates(void* device, struct utilization* out) {
  (void)device;
  out->gpu = 50;
  out->memory = 7;
  return 0;
}
int nvmlDeviceGetPowerUsage(void* device, unsigned* milliwatts) {
  *milliwatts = 350000;
  return (uintptr_t)device == 1 ? 0 : 3;
}
int nvmlDeviceGetEnforcedPowerLimit(void* device, unsigned* milliwatts) {
  (void)device;
  return *milliwatts = 700000, 0;
}
