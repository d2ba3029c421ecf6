#ifndef TOME_SERVER_RPC_CALL_H_
#define TOME_SERVER_RPC_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/base/clock.h"
#include "server/metrics/metrics.h"

namespace tome {

// What every call has, whatever it asks for: an id, a deadline on our clock, its place in the
// metrics, one line in the debug log, with the caller's trace id (W3C traceparent) where it sends
// one. Not thread-safe: one thread after the other.
class Call {
 public:
  // Counts the call as started and puts its x-request-id into the initial metadata: the caller's,
  // if it is at most 128 printable ASCII characters, else a new one. The references outlive the
  // call.
  Call(Method method, grpc::CallbackServerContext& context, Metrics& metrics, Clock& clock);
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  const std::string& request_id() const { return request_id_; }

  // absl::InfiniteFuture() for a caller without one.
  absl::Time deadline() const { return deadline_; }

  // For the trailing metadata `server-timing`: how long one stage took. Before End.
  void AddServerTiming(absl::string_view stage, absl::Duration duration);

  // What to finish the call with: counts and logs `status`, and puts a retry hint into the trailing
  // metadata. Call exactly once, right before Finish, since the context ends with the call.
  grpc::Status End(const absl::Status& status);

  // End for a call whose caller has gone: CANCELLED, or DEADLINE_EXCEEDED if that is why.
  grpc::Status EndAbandoned();

 private:
  const Method method_;
  grpc::CallbackServerContext& context_;
  Metrics& metrics_;
  Clock& clock_;
  const absl::Time arrival_;
  const absl::Time deadline_;
  const std::string request_id_;
  const std::string trace_id_;
  std::string server_timing_;
};

}  // namespace tome

#endif  // TOME_SERVER_RPC_CALL_H_
