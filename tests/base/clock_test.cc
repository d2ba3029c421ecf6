#include "server/base/clock.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/testing/fake_clock.h"

namespace tome {
namespace {

TEST(ClockTest, TheSteadyClockNeverGoesBack) {
  const absl::Time first = Clock::Steady().Now();

  EXPECT_GE(Clock::Steady().Now(), first);
}

TEST(ClockTest, ASteadyWaitEndsAtItsDeadline) {
  Mutex mu;
  Condition never;
  const absl::Time deadline = Clock::Steady().Now() + absl::Milliseconds(1);

  MutexLock lock(mu);
  while (Clock::Steady().Now() < deadline) Clock::Steady().WaitUntil(never, mu, deadline);

  EXPECT_GE(Clock::Steady().Now(), deadline);
}

TEST(ClockTest, AFakeWaitEndsWhenTimeIsStepped) {
  FakeClock clock;
  const absl::Time deadline = clock.Now() + absl::Seconds(5);
  std::thread waiter([&] {
    Mutex mu;
    Condition never;
    MutexLock lock(mu);
    while (clock.Now() < deadline) clock.WaitUntil(never, mu, deadline);
  });
  clock.AwaitWaiters(1);

  clock.Advance(absl::Seconds(5));

  waiter.join();
  EXPECT_EQ(clock.Now(), deadline);
}

}  // namespace
}  // namespace tome
