#ifndef TOME_SERVER_RPC_STATUS_H_
#define TOME_SERVER_RPC_STATUS_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tome {

// The code that a client sees for a status of ours: the documented codes are themselves, any other
// is INTERNAL.
absl::StatusCode PublicCode(absl::StatusCode code);

// What a call that ended in `status` is finished with. An error carries a google.rpc.Status with
// RequestInfo and, where they apply, BadRequest (InvalidField) or RetryInfo (Exhausted) in its
// binary details. INTERNAL tells clients nothing but the request's id: its text is logged here, so
// call this once a call. A very long text is cut, since all of it travels in one metadata block.
grpc::Status ToGrpcStatus(const absl::Status& status, absl::string_view request_id);

// Puts the hint of Exhausted into the trailing metadata as grpc-retry-pushback-ms, which gRPC's own
// retry policies obey. Does nothing for a status without a hint.
void AddRetryPushback(const absl::Status& status, grpc::ServerContextBase& context);

}  // namespace tome

#endif  // TOME_SERVER_RPC_STATUS_H_
