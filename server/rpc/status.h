#ifndef TOME_SERVER_RPC_STATUS_H_
#define TOME_SERVER_RPC_STATUS_H_

#include <google/rpc/status.pb.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tome {

// The code that a client sees for a status of ours: the documented codes are themselves, any other
// is INTERNAL.
absl::StatusCode PublicCode(absl::StatusCode code);

// What a client is told of an error, of a call or of one image: with RequestInfo and, where they
// apply, BadRequest (InvalidField) or RetryInfo (Exhausted). INTERNAL tells nothing but the
// request's id: its text is logged here, so call this once an error. A very long text is cut, since
// that of a call travels in one metadata block. REQUIRES: not OK.
google::rpc::Status ToRichStatus(const absl::Status& status, absl::string_view request_id);

// What a call that ended in `status` is finished with: an error with its rich status in the binary
// details. Once a call, likewise.
grpc::Status ToGrpcStatus(const absl::Status& status, absl::string_view request_id);

// Puts the hint of Exhausted into the trailing metadata as grpc-retry-pushback-ms, which gRPC's own
// retry policies obey. Does nothing for a status without a hint.
void AddRetryPushback(const absl::Status& status, grpc::ServerContextBase& context);

}  // namespace tome

#endif  // TOME_SERVER_RPC_STATUS_H_
