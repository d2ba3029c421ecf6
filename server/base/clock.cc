#include "server/base/clock.h"

#include <chrono>

namespace tome {
namespace {

class SteadyClock final : public Clock {
 public:
  absl::Time Now() const override {
    return absl::UnixEpoch() +
           absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
  }

  void WaitUntil(Condition& condition, Mutex& mu, absl::Time deadline) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    if (deadline == absl::InfiniteFuture()) {
      condition.Wait(mu);
    } else {
      condition.WaitFor(mu, absl::ToChronoNanoseconds(deadline - Now()));
    }
  }
};

}  // namespace

Clock& Clock::Steady() {
  static SteadyClock& clock = *new SteadyClock;
  return clock;
}

}  // namespace tome
