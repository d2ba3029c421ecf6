#ifndef TOME_SERVER_RPC_CREDENTIALS_H_
#define TOME_SERVER_RPC_CREDENTIALS_H_

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_context.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tome {

// PEM files, or "".
struct TlsFiles {
  std::string certificate = {};  // chain, the server's own certificate first
  std::string key = {};          // of the certificate, not encrypted
  std::string client_ca = {};    // if not empty, a client must show a certificate that these signed
};

// Plain text if no file is named. INVALID_ARGUMENT if a file is missing, unreadable or does not fit
// the others: an operator's error, so the message names the file.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const TlsFiles& files);

// The tokens that a caller may show. Immutable.
class BearerTokens {
 public:
  // No authentication: every call passes.
  BearerTokens() = default;

  // One token a line; empty lines and blanks around a token do not count. INVALID_ARGUMENT if the
  // file cannot be read or holds no token; the message names the file.
  static absl::StatusOr<BearerTokens> FromFile(const std::string& path);

  // UNAUTHENTICATED, with the same text whatever is wrong, unless the call carries
  // "authorization: Bearer TOKEN" with one of the tokens. Takes as long for a wrong token as for a
  // right one.
  absl::Status Check(const grpc::ServerContextBase& context) const;

 private:
  std::vector<std::string> tokens_;
};

}  // namespace tome

#endif  // TOME_SERVER_RPC_CREDENTIALS_H_
