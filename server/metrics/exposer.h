#ifndef TOME_SERVER_METRICS_EXPOSER_H_
#define TOME_SERVER_METRICS_EXPOSER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/metrics/metrics.h"

namespace prometheus {
class Collectable;
class Exposer;
}  // namespace prometheus

namespace tome {

// Answers GET /metrics in Prometheus' text format, with the metrics of the server and process_*,
// on threads of its own.
class MetricsExposer {
 public:
  // `listen` is "HOST:PORT"; port 0 lets the system choose. An IPv6 address stands in brackets and
  // needs a civetweb that was built with IPv6; Debian 12's was not.
  // Returns when the port accepts; UNAVAILABLE if `listen` cannot be bound.
  static absl::StatusOr<std::unique_ptr<MetricsExposer>> Start(const std::string& listen,
                                                               const Metrics& metrics);

  // Finishes the answers under way and closes the port: a second or two, as civetweb polls.
  ~MetricsExposer();
  MetricsExposer(const MetricsExposer&) = delete;
  MetricsExposer& operator=(const MetricsExposer&) = delete;

  // Shows what `collectable` collects as well, from now on.
  void Add(std::shared_ptr<prometheus::Collectable> collectable);

  // The port that is bound.
  int port() const { return port_; }

 private:
  MetricsExposer(std::shared_ptr<prometheus::Registry> registry,
                 std::unique_ptr<prometheus::Exposer> exposer);

  // The exposer holds them weakly.
  const std::shared_ptr<prometheus::Registry> registry_;
  std::vector<std::shared_ptr<prometheus::Collectable>> collectables_;
  const std::unique_ptr<prometheus::Exposer> exposer_;
  const int port_;
};

}  // namespace tome

#endif  // TOME_SERVER_METRICS_EXPOSER_H_
