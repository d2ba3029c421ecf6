#ifndef TOME_CLIENT_WIRE_H_
#define TOME_CLIENT_WIRE_H_

#include <google/protobuf/duration.pb.h>
#include <grpcpp/support/status.h>
#include <tome/v1/embedding.pb.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "client/client.h"
#include "client/embedding.h"

// Between the client's own types and those of tome.v1.

namespace tome::client {

tome::v1::EmbedRequest ToWire(ImageInput image, const EmbedOptions& options);
tome::v1::EmbedBatchRequest ToWire(std::vector<BatchItem> items, const EmbedOptions& options);
google::protobuf::Duration ToWire(absl::Duration duration);

// Of one image, or its error. INTERNAL if the answer contradicts itself: a server's fault, which
// must not become a wrong vector.
absl::StatusOr<Embedding> FromWire(const tome::v1::Embedding& embedding,
                                   const tome::v1::ModelRef& model, const std::string& request_id,
                                   int retries);
absl::StatusOr<Embedding> FromWire(const tome::v1::Result& result, const tome::v1::ModelRef& model,
                                   const std::string& request_id, int retries);

Model FromWire(const tome::v1::Model& model);
Limits FromWire(const tome::v1::Limits& limits);

// The error of a call that failed, with the field of its BadRequest. `timeout` is what its caller
// allowed.
absl::Status CallError(const grpc::Status& status, absl::Duration timeout,
                       absl::string_view request_id, int retries);
// The same of one that was not answered in time.
absl::Status NoAnswerError(absl::Duration timeout, absl::string_view request_id, int retries);

}  // namespace tome::client

#endif  // TOME_CLIENT_WIRE_H_
