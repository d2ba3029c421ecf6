#include "server/rpc/credentials.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "server/base/status.h"

namespace tome {
namespace {

constexpr absl::string_view kScheme = "bearer ";

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  if (!file || !content) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be read"));
  }
  return content.str();
}

// gRPC takes any text as certificate and key and then fails without a reason, so OpenSSL is asked
// first.
absl::Status CheckFiles(const TlsFiles& files) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_server_method()),
                                                                  &SSL_CTX_free);
  // An encrypted key would ask for its passphrase on the terminal.
  SSL_CTX_set_default_passwd_cb(context.get(), [](char*, int, int, void*) { return 0; });
  absl::Status status;
  if (SSL_CTX_use_certificate_chain_file(context.get(), files.certificate.c_str()) != 1) {
    status = absl::InvalidArgumentError(
        absl::StrCat(files.certificate, ": not a certificate chain in PEM form"));
  } else if (SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    status = absl::InvalidArgumentError(
        absl::StrCat(files.key, ": not the unencrypted PEM key of ", files.certificate));
  } else if (!files.client_ca.empty() &&
             SSL_CTX_load_verify_file(context.get(), files.client_ca.c_str()) != 1) {
    status = absl::InvalidArgumentError(
        absl::StrCat(files.client_ca, ": no certificate authorities in PEM form"));
  }
  // What is left in this thread's error queue would be taken for a failure of its next connection.
  ERR_clear_error();
  return status;
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const TlsFiles& files) {
  if (files.certificate.empty() && files.key.empty() && files.client_ca.empty()) {
    return grpc::InsecureServerCredentials();
  }
  if (files.certificate.empty() || files.key.empty()) {
    return absl::InvalidArgumentError("TLS needs a certificate file and a key file");
  }
  TOME_RETURN_IF_ERROR(CheckFiles(files));
  grpc::SslServerCredentialsOptions options(
      files.client_ca.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                              : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  TOME_ASSIGN_OR_RETURN(std::string certificate, ReadFile(files.certificate));
  TOME_ASSIGN_OR_RETURN(std::string key, ReadFile(files.key));
  options.pem_key_cert_pairs.push_back({std::move(key), std::move(certificate)});
  if (!files.client_ca.empty()) {
    TOME_ASSIGN_OR_RETURN(options.pem_root_certs, ReadFile(files.client_ca));
  }
  return grpc::SslServerCredentials(options);
}

absl::StatusOr<BearerTokens> BearerTokens::FromFile(const std::string& path) {
  TOME_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  BearerTokens tokens;
  for (absl::string_view line : absl::StrSplit(content, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (!line.empty()) tokens.tokens_.emplace_back(line);
  }
  if (tokens.tokens_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": holds no token, one a line is needed"));
  }
  return tokens;
}

absl::Status BearerTokens::Check(const grpc::ServerContextBase& context) const {
  if (tokens_.empty()) return absl::OkStatus();
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("authorization");
  absl::string_view shown;
  if (found != metadata.end()) {
    shown = absl::string_view(found->second.data(), found->second.size());
  }
  bool valid = false;
  if (absl::StartsWithIgnoreCase(shown, kScheme)) {
    shown.remove_prefix(kScheme.size());
    // Every token is compared, and each in full.
    for (const std::string& token : tokens_) {
      valid |= token.size() == shown.size() &&
               CRYPTO_memcmp(token.data(), shown.data(), token.size()) == 0;
    }
  }
  if (valid) return absl::OkStatus();
  return absl::UnauthenticatedError(
      "send metadata \"authorization: Bearer TOKEN\" with a valid token");
}

}  // namespace tome
