#ifndef TOME_CLIENT_WIRE_H_
#define TOME_CLIENT_WIRE_H_

#include <grpcpp/support/status.h>
#include <tome/v1/embedding.pb.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "client/client.h"
#include "client/embedding.h"

// Between the client's own types and those of tome.v1.

namespace tome::client {

tome::v1::EmbedRequest ToWire(ImageInput image, const EmbedOptions& options);

// INTERNAL if the answer contradicts itself: a server's fault, which must not become a wrong
// vector. Leaves request_id and retries to the caller.
absl::StatusOr<Embedding> FromWire(const tome::v1::EmbedResponse& response);

Model FromWire(const tome::v1::Model& model);
Limits FromWire(const tome::v1::Limits& limits);

// The status of a call that failed, with the field of its BadRequest.
absl::Status FromWire(const grpc::Status& status, absl::string_view request_id);

}  // namespace tome::client

#endif  // TOME_CLIENT_WIRE_H_
