#ifndef TOME_SERVER_BASE_CLOCK_H_
#define TOME_SERVER_BASE_CLOCK_H_

#include "absl/time/time.h"

#include "server/base/mutex.h"

namespace tome {

// Monotonic time, injected so that tests step it instead of sleeping.
// The epoch is arbitrary: only differences between two results of the same clock mean something.
// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  virtual absl::Time Now() const = 0;

  // Waits until `condition` is notified, wakes by itself, or Now() reaches `deadline`
  // (absl::InfiniteFuture() waits for a notification only). Like std::condition_variable: the
  // caller checks its condition in a loop. `mu` is released while waiting.
  virtual void WaitUntil(Condition& condition, Mutex& mu, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) = 0;

  // The steady clock of the machine. Never destroyed.
  static Clock& Steady();
};

}  // namespace tome

#endif  // TOME_SERVER_BASE_CLOCK_H_
