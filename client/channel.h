#ifndef TOME_CLIENT_CHANNEL_H_
#define TOME_CLIENT_CHANNEL_H_

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>

#include <memory>

#include "absl/status/statusor.h"

#include "client/client.h"

namespace tome::client {

// INVALID_ARGUMENT with the file's name if one cannot be read.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(
    const ClientOptions& options);

// Takes turns among the addresses whose health service says that the embedding service is serving
// (a server without a health service counts as healthy).
std::shared_ptr<grpc::Channel> MakeBalancedChannel(
    const ClientOptions& options, const std::shared_ptr<grpc::ChannelCredentials>& credentials);

// To the first address that answers, healthy or not.
std::shared_ptr<grpc::Channel> MakePlainChannel(
    const ClientOptions& options, const std::shared_ptr<grpc::ChannelCredentials>& credentials);

}  // namespace tome::client

#endif  // TOME_CLIENT_CHANNEL_H_
