#include "server/base/repeat_limiter.h"

#include <gtest/gtest.h>

#include "tests/testing/fake_clock.h"

namespace tome {
namespace {

constexpr absl::Duration kWindow = absl::Minutes(1);

TEST(RepeatLimiterTest, TheFirstOfAWindowPassAndTheOthersAreHeldBack) {
  FakeClock clock;
  RepeatLimiter limiter(2, kWindow, clock);

  EXPECT_EQ(limiter.Pass("refused"), 0);
  EXPECT_EQ(limiter.Pass("refused"), 0);
  EXPECT_EQ(limiter.Pass("refused"), std::nullopt);
  EXPECT_EQ(limiter.Pass("refused"), std::nullopt);
}

TEST(RepeatLimiterTest, TheNextThatPassesTellsHowManyWereHeldBackAndOnlyOnce) {
  FakeClock clock;
  RepeatLimiter limiter(2, kWindow, clock);
  for (int i = 0; i < 5; ++i) limiter.Pass("refused");

  clock.Advance(kWindow);

  EXPECT_EQ(limiter.Pass("refused"), 3);
  EXPECT_EQ(limiter.Pass("refused"), 0);
  EXPECT_EQ(limiter.Pass("refused"), std::nullopt);
}

TEST(RepeatLimiterTest, AWindowLastsAsLongAsItSays) {
  FakeClock clock;
  RepeatLimiter limiter(1, kWindow, clock);
  limiter.Pass("refused");

  clock.Advance(kWindow - absl::Nanoseconds(1));

  EXPECT_EQ(limiter.Pass("refused"), std::nullopt);
}

TEST(RepeatLimiterTest, KeysDoNotCountForEachOther) {
  FakeClock clock;
  RepeatLimiter limiter(1, kWindow, clock);
  limiter.Pass("refused");

  EXPECT_EQ(limiter.Pass("lost"), 0);
}

}  // namespace
}  // namespace tome
