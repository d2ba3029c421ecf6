#ifndef TOME_CLIENT_CLI_SERVED_CHECKPOINT_H_
#define TOME_CLIENT_CLI_SERVED_CHECKPOINT_H_

#include <string>

#include "absl/status/statusor.h"

#include "client/cli/connection.h"

namespace tome::client {

// Whether what --model says is a checkpoint's directory: it holds a slash, which no model's name
// does.
bool IsCheckpointDirectory(const std::string& model);

// What the server calls the model that --model says: a name as it is, a directory by the digest of
// its weights. INVALID_ARGUMENT for a directory without readable weights, and where the server
// holds them under two names; NOT_FOUND where it holds others.
absl::StatusOr<std::string> ServedName(Client& client, const GlobalOptions& global,
                                       const std::string& model);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_SERVED_CHECKPOINT_H_
