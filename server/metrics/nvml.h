#ifndef TOME_SERVER_METRICS_NVML_H_
#define TOME_SERVER_METRICS_NVML_H_

#include <cstdint>

namespace tome {

// The few functions of NVIDIA's management library (libnvidia-ml.so.1, part of the driver) that are
// read for metrics, with its own types: all return 0 for success.
struct Nvml {
  using Device = struct nvmlDevice_st*;
  struct Utilization {
    unsigned int gpu;  // percent of the last period in which a kernel ran
    unsigned int memory;
  };
  struct MemoryInfo {
    unsigned long long total, free, used;  // bytes
  };

  int (*init)() = nullptr;
  int (*device_by_bus_id)(const char* bus_id, Device* device) = nullptr;
  int (*utilization)(Device device, Utilization* utilization) = nullptr;
  int (*memory)(Device device, MemoryInfo* memory) = nullptr;
  int (*temperature)(Device device, int sensor, unsigned int* celsius) = nullptr;  // sensor 0: GPU
  int (*power)(Device device, unsigned int* milliwatts) = nullptr;
};

// Opens and initialises the library, for as long as the process lives. Null where there is none.
const Nvml* OpenNvml();

}  // namespace tome

#endif  // TOME_SERVER_METRICS_NVML_H_
