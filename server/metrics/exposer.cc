#include "server/metrics/exposer.h"

#include <prometheus/exposer.h>
#include <prometheus/registry.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"

#include "server/metrics/process_collector.h"

namespace tome {

absl::StatusOr<std::unique_ptr<MetricsExposer>> MetricsExposer::Start(const std::string& listen,
                                                                      const Metrics& metrics) {
  std::unique_ptr<prometheus::Exposer> exposer;
  errno = 0;
  try {
    exposer = std::make_unique<prometheus::Exposer>(listen);
  } catch (const std::exception&) {
    // The exception has one text for all causes; errno is left as bind() or listen() set it.
    const int error = errno;
    return absl::UnavailableError(absl::StrCat(
        "metrics-listen: cannot listen on \"", listen, "\": ",
        error == 0 ? "not HOST:PORT, or IPv6, which this system's civetweb is built without"
                   : std::strerror(error)));
  }
  return absl::WrapUnique(new MetricsExposer(metrics.registry(), std::move(exposer)));
}

MetricsExposer::MetricsExposer(std::shared_ptr<prometheus::Registry> registry,
                               std::unique_ptr<prometheus::Exposer> exposer)
    : registry_(std::move(registry)),
      exposer_(std::move(exposer)),
      port_(exposer_->GetListeningPorts().front()) {
  exposer_->RegisterCollectable(registry_);
  Add(std::make_shared<ProcessCollector>());
}

void MetricsExposer::Add(std::shared_ptr<prometheus::Collectable> collectable) {
  exposer_->RegisterCollectable(collectable);
  collectables_.push_back(std::move(collectable));
}

MetricsExposer::~MetricsExposer() = default;

}  // namespace tome
