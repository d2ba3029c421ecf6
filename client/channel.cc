#include "client/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"

namespace tome::client {
namespace {

absl::StatusOr<std::string> ReadPem(const std::string& file) {
  if (file.empty()) return std::string();
  std::ifstream in(file, std::ios::binary);
  std::string pem{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in.is_open() || in.bad() || pem.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read the TLS file ", file));
  }
  return pem;
}

grpc::ChannelArguments CommonArguments() {
  grpc::ChannelArguments arguments;
  // Final tokens are larger than gRPC's default of 4 MB.
  arguments.SetMaxReceiveMessageSize(-1);
  // Also turns off gRPC's transparent retries: attempts are counted and spaced in retry.h alone.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // What DNS says about load balancing does not replace what this client ships.
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  // gRPC's default of up to two minutes between attempts to connect would outlast a call.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5000);
  return arguments;
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(
    const ClientOptions& options) {
  if (!options.tls.has_value()) return grpc::InsecureChannelCredentials();
  if (options.tls->certificate_file.empty() != options.tls->key_file.empty()) {
    return absl::InvalidArgumentError("a TLS client certificate and its key go together");
  }
  grpc::SslCredentialsOptions ssl;
  for (const auto& [file, pem] : {std::pair{&options.tls->ca_file, &ssl.pem_root_certs},
                                  std::pair{&options.tls->certificate_file, &ssl.pem_cert_chain},
                                  std::pair{&options.tls->key_file, &ssl.pem_private_key}}) {
    absl::StatusOr<std::string> read = ReadPem(*file);
    if (!read.ok()) return read.status();
    *pem = *std::move(read);
  }
  return grpc::SslCredentials(ssl);
}

std::shared_ptr<grpc::Channel> MakeBalancedChannel(
    const ClientOptions& options, const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments = CommonArguments();
  arguments.SetServiceConfigJSON(absl::StrCat(
      R"({"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ")",
      kEmbeddingServiceName, R"("}})"));
  return grpc::CreateCustomChannel(options.server, credentials, arguments);
}

std::shared_ptr<grpc::Channel> MakePlainChannel(
    const ClientOptions& options, const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  return grpc::CreateCustomChannel(options.server, credentials, CommonArguments());
}

}  // namespace tome::client
