#include "tests/testing/fake_clock.h"

#include <iterator>
#include <vector>

namespace tome {

absl::Time FakeClock::Now() const {
  MutexLock lock(mu_);
  return now_;
}

// The caller's mutex is held from before the waiter is listed until the wait begins, and Advance
// takes that mutex before it notifies: a wake-up cannot fall between the two.
void FakeClock::WaitUntil(Condition& condition, Mutex& mu, absl::Time deadline) {
  std::multimap<absl::Time, Waiter>::iterator self;
  {
    MutexLock lock(mu_);
    if (deadline <= now_) return;
    self = waiters_.insert({deadline, {&condition, &mu}});
    changed_.NotifyAll();
  }
  condition.Wait(mu);
  MutexLock lock(mu_);
  waiters_.erase(self);
}

void FakeClock::Advance(absl::Duration duration) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  std::vector<Waiter> due;
  {
    MutexLock lock(mu_);
    now_ += duration;
    for (auto it = waiters_.begin(); it != waiters_.upper_bound(now_); ++it) {
      due.push_back(it->second);
    }
  }
  for (const Waiter& waiter : due) {
    MutexLock lock(*waiter.mutex);
    waiter.condition->NotifyAll();
  }
}

void FakeClock::AwaitWaiters(int count) {
  MutexLock lock(mu_);
  while (std::distance(waiters_.upper_bound(now_), waiters_.end()) < count) changed_.Wait(mu_);
}

}  // namespace tome
