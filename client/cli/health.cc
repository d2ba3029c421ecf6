#include <iostream>
#include <memory>
#include <string>

#include "client/cli/commands.h"
#include "client/cli/json.h"

namespace tome::client {
namespace {

const char* ToString(HealthStatus status) {
  switch (status) {
    case HealthStatus::kServing:
      return "SERVING";
    case HealthStatus::kNotServing:
      return "NOT_SERVING";
    case HealthStatus::kServiceUnknown:
      return "SERVICE_UNKNOWN";
  }
  return "UNKNOWN";
}

}  // namespace

ExitCode RunHealth(const GlobalOptions& global, const std::string& service) {
  absl::StatusOr<std::unique_ptr<Client>> client = Connect(global);
  if (!client.ok()) return ReportUsageError(global, client.status());
  const absl::StatusOr<HealthStatus> status = (*client)->Health(service, FirstCall(global));
  if (!status.ok()) return ReportCallError(global, status.status());
  if (global.json) {
    std::cout << OneLine({{"service", service}, {"status", ToString(*status)}}) << "\n";
  } else {
    std::cout << ToString(*status) << "\n";
  }
  return *status == HealthStatus::kServing ? kExitOk : kExitFailed;
}

}  // namespace tome::client
