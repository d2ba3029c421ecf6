#include "client/cli/connection.h"

#include <fstream>
#include <iostream>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

#include "client/cli/json.h"
#include "client/status.h"

namespace tome::client {
namespace {

absl::StatusOr<std::string> ReadToken(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const std::string token(absl::StripAsciiWhitespace(text));
  if (!in.is_open() || in.bad()) {
    return absl::InvalidArgumentError(absl::StrCat("--token-file: cannot read ", file));
  }
  // A metadata value with anything else would abort the call inside gRPC.
  if (token.empty() || token.find_first_of("\r\n\t ") != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("--token-file: ", file, " must hold exactly one token"));
  }
  return token;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Connect(const GlobalOptions& options) {
  ClientOptions client;
  client.server = options.server;
  if (options.tls || !options.tls_ca.empty() || !options.tls_certificate.empty() ||
      !options.tls_key.empty()) {
    client.tls = TlsFiles{options.tls_ca, options.tls_certificate, options.tls_key};
  }
  if (!options.token_file.empty()) {
    absl::StatusOr<std::string> token = ReadToken(options.token_file);
    if (!token.ok()) return token.status();
    client.bearer_token = *std::move(token);
  }
  return Client::Create(client);
}

CallOptions FirstCall(const GlobalOptions& options) {
  CallOptions call;
  call.timeout = std::min(options.timeout, absl::Seconds(10));
  call.retry = RetryPolicy{.max_unavailable_retries = 2};
  return call;
}

ExitCode ReportCallError(const GlobalOptions& options, const absl::Status& status) {
  const bool unreachable = absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
  if (options.json) {
    std::cerr << OneLine({{"error", ToJson(status)}}) << "\n";
  } else if (unreachable) {
    std::cerr << "tome: no server answers at " << options.server
              << " (--server or TOME_SERVER names another): " << Describe(status) << "\n";
  } else {
    std::cerr << "tome: " << Describe(status) << "\n";
  }
  return unreachable ? kExitUnreachable : kExitFailed;
}

ExitCode ReportUsageError(const GlobalOptions& options, const absl::Status& status) {
  if (options.json) {
    std::cerr << OneLine({{"error", ToJson(status)}}) << "\n";
  } else {
    std::cerr << "tome: " << status.message() << "\n";
  }
  return kExitUsage;
}

std::string Describe(const absl::Status& status) {
  const std::string id = RequestIdOf(status);
  return absl::StrCat(CodeName(status.code()), ": ", status.message(),
                      id.empty() ? "" : absl::StrCat(" (request ", id, ")"));
}

}  // namespace tome::client
