#include "client/retry.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/numbers.h"

namespace tome::client {

namespace {

// Before retry number `retry`, the first of which is 0.
absl::Duration Backoff(const RetryPolicy& policy, int retry) {
  absl::Duration backoff = policy.initial_backoff;
  for (int i = 0; i < retry && backoff < policy.max_backoff; ++i) backoff *= 2;
  return std::min(backoff, policy.max_backoff);
}

}  // namespace

std::optional<absl::Duration> Retries::Next(absl::StatusCode code,
                                            std::optional<absl::string_view> pushback,
                                            double jitter, absl::Duration remaining) {
  if (code == absl::StatusCode::kResourceExhausted) {
    // gRPC's convention: a value that is negative or no number asks not to retry at all.
    int64_t milliseconds = -1;
    if (!pushback.has_value() || !absl::SimpleAtoi(*pushback, &milliseconds) || milliseconds < 0) {
      return std::nullopt;
    }
    if (pushback_retries_ == policy_.max_pushback_retries) return std::nullopt;
    absl::Duration wait = absl::Milliseconds(milliseconds);
    if (pushback_retries_ > 0) wait = std::max(wait, Backoff(policy_, pushback_retries_ - 1));
    wait *= 1.0 + 0.25 * jitter;
    if (wait >= remaining) return std::nullopt;
    ++pushback_retries_;
    return wait;
  }
  if (code == absl::StatusCode::kUnavailable) {
    if (unavailable_retries_ == policy_.max_unavailable_retries) return std::nullopt;
    const absl::Duration wait = Backoff(policy_, unavailable_retries_) * (0.75 + 0.5 * jitter);
    if (wait >= remaining) return std::nullopt;
    ++unavailable_retries_;
    return wait;
  }
  return std::nullopt;
}

}  // namespace tome::client
