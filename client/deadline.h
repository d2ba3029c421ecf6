#ifndef TOME_CLIENT_DEADLINE_H_
#define TOME_CLIENT_DEADLINE_H_

#include <grpc/support/time.h>

#include <algorithm>
#include <chrono>

#include "absl/time/time.h"

// Monotonic times: a step of the wall clock moves none of them.

namespace tome::client {

inline std::chrono::steady_clock::time_point DeadlineAfter(absl::Duration timeout) {
  // One further away would overflow the clock.
  const absl::Duration bounded = std::min(timeout, absl::Hours(24 * 365));
  return std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(bounded);
}

inline absl::Duration Until(std::chrono::steady_clock::time_point deadline) {
  return absl::FromChrono(deadline - std::chrono::steady_clock::now());
}

inline gpr_timespec After(absl::Duration duration) {
  const absl::Duration bounded = std::min(duration, absl::Hours(24 * 365));
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(absl::ToInt64Nanoseconds(bounded), GPR_TIMESPAN));
}

}  // namespace tome::client

#endif  // TOME_CLIENT_DEADLINE_H_
