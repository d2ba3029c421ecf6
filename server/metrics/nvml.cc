#include "server/metrics/nvml.h"

#include <dlfcn.h>

#include "server/base/log.h"

namespace tome {
namespace {

template <typename Function>
bool Find(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  return function != nullptr;
}

const Nvml* Open() {
  void* const library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    LogInfo("no GPU metrics: libnvidia-ml.so.1 is not installed");
    return nullptr;
  }
  static Nvml nvml;
  if (!Find(library, "nvmlInit_v2", nvml.init) ||
      !Find(library, "nvmlDeviceGetHandleByPciBusId_v2", nvml.device_by_bus_id) ||
      !Find(library, "nvmlDeviceGetUtilizationRates", nvml.utilization) ||
      !Find(library, "nvmlDeviceGetMemoryInfo", nvml.memory) ||
      !Find(library, "nvmlDeviceGetTemperature", nvml.temperature) ||
      !Find(library, "nvmlDeviceGetPowerUsage", nvml.power) || nvml.init() != 0) {
    LogInfo("no GPU metrics: libnvidia-ml.so.1 cannot be used");
    return nullptr;
  }
  return &nvml;
}

}  // namespace

const Nvml* OpenNvml() {
  static const Nvml* const nvml = Open();
  return nvml;
}

}  // namespace tome
