#ifndef TOME_CLIENT_RETRY_H_
#define TOME_CLIENT_RETRY_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace tome::client {

// When a failed call is sent again. Only two failures are worth it:
// - RESOURCE_EXHAUSTED with the server's grpc-retry-pushback-ms: its queue was full, and it says
//   for how long. Without the hint it may mean a message over the limit, which stays over it. A
//   call that is refused again waits for its backoff if that is longer: the hint does not know how
//   many others come back for the same place.
// - UNAVAILABLE: no connection, or a server that starts or drains.
// The backoff doubles from retry to retry.
// Embedding changes nothing on the server, so that sending twice is safe.
struct RetryPolicy {
  int max_pushback_retries = 50;
  int max_unavailable_retries = 7;
  absl::Duration initial_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(5);
};

// The retries of one call. Not thread-safe.
class Retries {
 public:
  explicit Retries(const RetryPolicy& policy) : policy_(policy) {}

  // How long to wait before the call is sent again, or nothing if its failure is final.
  //   pushback   value of the grpc-retry-pushback-ms trailer, if there was one
  //   jitter     in [0, 1), random: spreads clients that were refused together. A hint is stretched
  //              by up to a quarter, a backoff varies by a quarter to either side.
  //   remaining  until the call's deadline; a wait that would reach it is not begun
  std::optional<absl::Duration> Next(absl::StatusCode code,
                                     std::optional<absl::string_view> pushback, double jitter,
                                     absl::Duration remaining);

  // Waits granted so far.
  int count() const { return pushback_retries_ + unavailable_retries_; }

 private:
  RetryPolicy policy_;
  int pushback_retries_ = 0;
  int unavailable_retries_ = 0;
};

}  // namespace tome::client

#endif  // TOME_CLIENT_RETRY_H_
