#include <iostream>
#include <memory>
#include <string>

#include "client/cli/commands.h"
#include "client/cli/json.h"

namespace tome::client {
namespace {

constexpr char kExamples[] = R"(
Exit code: 0 serving, 1 not serving or not known, 3 no answer.

Examples:
  tome health
  tome --timeout 1s health && echo ready
  tome health --service ""      the server as a whole

Options of every command, such as --server: tome --help)";

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

}  // namespace

void AddHealthCommand(CLI::App& app, const GlobalOptions& global, ExitCode& exit_code) {
  CLI::App& command = *app.add_subcommand("health", "Ask whether the server is serving");
  const auto service = std::make_shared<std::string>(kEmbeddingServiceName);
  command.footer(kExamples);
  command.add_option("--service", *service, "Its name in the health service")
      ->type_name("NAME")
      ->capture_default_str();
  command.callback([&global, &exit_code, service] { exit_code = RunHealth(global, *service); });
}

}  // namespace tome::client
