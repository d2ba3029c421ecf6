#ifndef TOME_SERVER_METRICS_PROCESS_COLLECTOR_H_
#define TOME_SERVER_METRICS_PROCESS_COLLECTOR_H_

#include <prometheus/collectable.h>

#include <vector>

namespace tome {

// process_*: what the kernel tells of this process, under the names that Prometheus' client
// libraries share. Read at each scrape; what cannot be read is left out. Thread-safe.
class ProcessCollector final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace tome

#endif  // TOME_SERVER_METRICS_PROCESS_COLLECTOR_H_
