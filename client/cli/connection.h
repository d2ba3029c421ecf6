#ifndef TOME_CLIENT_CLI_CONNECTION_H_
#define TOME_CLIENT_CLI_CONNECTION_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

#include "client/cli/exit_code.h"
#include "client/client.h"

namespace tome::client {

// The options that every command takes.
struct GlobalOptions {
  std::string server = "127.0.0.1:50051";
  bool tls = false;  // implied by each of the three files
  std::string tls_ca;
  std::string tls_certificate;
  std::string tls_key;
  std::string token_file;
  absl::Duration timeout = absl::Seconds(30);
  bool json = false;
};

// INVALID_ARGUMENT for a file that cannot be read. Sends nothing.
absl::StatusOr<std::unique_ptr<Client>> Connect(const GlobalOptions& options);

// Of a command's first call: a server that is not there is told soon, instead of after the retries
// that a long run gets.
CallOptions FirstCall(const GlobalOptions& options);

// Tells on standard error why the first call of a command failed, and gives the exit code.
ExitCode ReportCallError(const GlobalOptions& options, const absl::Status& status);

// Tells on standard error what is wrong with the command line or its files: kExitUsage.
ExitCode ReportUsageError(const GlobalOptions& options, const absl::Status& status);

// "INVALID_ARGUMENT: input.encoded: ... (request 5c1f...)".
std::string Describe(const absl::Status& status);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_CONNECTION_H_
