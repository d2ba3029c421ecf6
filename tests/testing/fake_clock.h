#ifndef TOME_TESTS_TESTING_FAKE_CLOCK_H_
#define TOME_TESTS_TESTING_FAKE_CLOCK_H_

#include <map>

#include "server/base/clock.h"

namespace tome {

// Time stands still until Advance. Thread-safe.
class FakeClock final : public Clock {
 public:
  absl::Time Now() const override ABSL_LOCKS_EXCLUDED(mu_);

  void WaitUntil(Condition& condition, Mutex& mu, absl::Time deadline) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) ABSL_LOCKS_EXCLUDED(mu_);

  // Moves time on and wakes every WaitUntil whose deadline is reached by then.
  void Advance(absl::Duration duration) ABSL_LOCKS_EXCLUDED(mu_);

  // Blocks until `count` threads wait in WaitUntil for a time that is not reached: how a test knows
  // that another thread has got there.
  void AwaitWaiters(int count) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Waiter {
    Condition* condition;
    Mutex* mutex;
  };

  mutable Mutex mu_;
  Condition changed_;
  absl::Time now_ ABSL_GUARDED_BY(mu_) = absl::UnixEpoch();
  std::multimap<absl::Time, Waiter> waiters_ ABSL_GUARDED_BY(mu_);
};

}  // namespace tome

#endif  // TOME_TESTS_TESTING_FAKE_CLOCK_H_
