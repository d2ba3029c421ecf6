#ifndef TOME_SERVER_METRICS_GPU_COLLECTOR_H_
#define TOME_SERVER_METRICS_GPU_COLLECTOR_H_

#include <prometheus/collectable.h>

#include <string>
#include <vector>

#include "server/metrics/nvml.h"

namespace tome {

// tome_gpu_*{device}: what the driver tells of each GPU that this server uses: utilisation, memory,
// temperature and power. Read at each scrape; what cannot be read is left out. Thread-safe.
class GpuCollector final : public prometheus::Collectable {
 public:
  struct Gpu {
    std::string device;  // "cuda:0"
    std::string bus_id;  // "0000:18:00.0"
  };

  // `nvml` may be null: nothing can be read.
  GpuCollector(const Nvml* nvml, const std::vector<Gpu>& gpus);

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  struct Handle {
    std::string device;
    Nvml::Device handle;
  };

  const Nvml* const nvml_;
  std::vector<Handle> handles_;
};

}  // namespace tome

#endif  // TOME_SERVER_METRICS_GPU_COLLECTOR_H_
