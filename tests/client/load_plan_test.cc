#include "client/cli/load_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace tome::client {
namespace {

using ::testing::HasSubstr;

TEST(PoissonArrivalsTest, ComeAtTheRateWithGapsAsWideAsTheirMean) {
  PoissonArrivals arrivals(20.0, 1);
  constexpr int kArrivals = 100000;

  double sum = 0.0;
  double squares = 0.0;
  double before = 0.0;
  for (int i = 0; i < kArrivals; ++i) {
    const double at = absl::ToDoubleSeconds(arrivals.Next());
    const double gap = at - before;
    ASSERT_GE(gap, 0.0);
    sum += gap;
    squares += gap * gap;
    before = at;
  }

  const double mean = sum / kArrivals;
  EXPECT_NEAR(mean, 0.05, 0.0005);
  // An exponential distribution's deviation is its mean; even gaps would have none.
  EXPECT_NEAR(squares / kArrivals - mean * mean, 0.05 * 0.05, 0.0001);
}

TEST(PoissonArrivalsTest, AreTheSameForTheSameSeed) {
  PoissonArrivals one(5.0, 7);
  PoissonArrivals same(5.0, 7);
  PoissonArrivals other(5.0, 8);

  const absl::Duration first = one.Next();

  EXPECT_EQ(first, same.Next());
  EXPECT_NE(first, other.Next());
}

TEST(RMixTest, DrawsEachRByItsWeight) {
  RMix mix({{0, 1.0}, {8, 2.0}, {16, 1.0}}, 1);

  std::map<uint32_t, int> drawn;
  for (int i = 0; i < 100000; ++i) ++drawn[mix.Next()];

  EXPECT_EQ(drawn.size(), 3u);
  EXPECT_NEAR(drawn[0], 25000, 700);
  EXPECT_NEAR(drawn[8], 50000, 700);
  EXPECT_NEAR(drawn[16], 25000, 700);
}

TEST(RSharesTest, AreReadWithAndWithoutWeights) {
  EXPECT_EQ(RSharesText(ParseRShares("8").value()), "8");
  EXPECT_EQ(RSharesText(ParseRShares("0,8").value()), "0:1,8:1");
  EXPECT_EQ(RSharesText(ParseRShares("0:0.5,8:0.3,16:0.2").value()), "0:0.5,8:0.3,16:0.2");
}

TEST(RSharesTest, TellWhatIsWrong) {
  for (const std::string text : {"", "eight", "0,", "8:", "8:half", "-1"}) {
    EXPECT_THAT(std::string(ParseRShares(text).status().message()),
                HasSubstr("'" + text + "' is neither an r nor a list"));
  }
  for (const std::string text : {"8:0", "8:-1", "8:nan", "8:inf"}) {
    EXPECT_THAT(std::string(ParseRShares(text).status().message()), HasSubstr("is not above 0"));
  }
}

}  // namespace
}  // namespace tome::client
