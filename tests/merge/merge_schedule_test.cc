#include "server/merge/merge_schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace tome {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

TEST(MergeScheduleTest, MergesNothingUnlessTold) {
  EXPECT_THAT(MergeSchedule().PerBlockMerges(12), Each(0));
}

TEST(MergeScheduleTest, ConstantAsksEveryBlockForTheSame) {
  EXPECT_THAT(MergeSchedule(MergeSchedule::Constant{7}).PerBlockMerges(4), ElementsAre(7, 7, 7, 7));
}

TEST(MergeScheduleTest, LinearFallsFromTwiceTheMeanToNothing) {
  const MergeSchedule falling(MergeSchedule::Linear{.mean_r = 16, .inflection = -1.0});

  EXPECT_THAT(falling.PerBlockMerges(12), ElementsAre(32, 29, 26, 23, 20, 17, 14, 11, 8, 5, 2, 0));
}

TEST(MergeScheduleTest, LinearRisesFromNothingToTwiceTheMean) {
  const MergeSchedule rising(MergeSchedule::Linear{.mean_r = 3, .inflection = 1.0});

  EXPECT_THAT(rising.PerBlockMerges(6), ElementsAre(0, 1, 2, 3, 4, 6));
}

TEST(MergeScheduleTest, LinearWithoutInflectionIsConstant) {
  const MergeSchedule level(MergeSchedule::Linear{.mean_r = 5, .inflection = 0.0});

  EXPECT_THAT(level.PerBlockMerges(5), Each(5));
}

TEST(MergeScheduleTest, LinearTruncatesALowEndThatIsNotWhole) {
  // lo = trunc(5 * 0.7) = 3, step = (10 - 6) / 3.
  const MergeSchedule schedule(MergeSchedule::Linear{.mean_r = 5, .inflection = 0.3});

  EXPECT_THAT(schedule.PerBlockMerges(4), ElementsAre(3, 4, 5, 7));
}

TEST(MergeScheduleTest, LinearGivesASingleBlockTheMean) {
  const MergeSchedule schedule(MergeSchedule::Linear{.mean_r = 9, .inflection = -1.0});

  EXPECT_THAT(schedule.PerBlockMerges(1), ElementsAre(9));
}

TEST(MergeScheduleTest, PerBlockIsPaddedWithZeros) {
  const MergeSchedule schedule(MergeSchedule::PerBlock{{4, 0, 7}});

  EXPECT_THAT(schedule.PerBlockMerges(5), ElementsAre(4, 0, 7, 0, 0));
}

TEST(MergeScheduleTest, KnowsItsValidRange) {
  EXPECT_TRUE(MergeSchedule::IsValidR(0));
  EXPECT_TRUE(MergeSchedule::IsValidR(MergeSchedule::kMaxR));
  EXPECT_FALSE(MergeSchedule::IsValidR(-1));
  EXPECT_FALSE(MergeSchedule::IsValidR(MergeSchedule::kMaxR + 1LL));

  EXPECT_TRUE(MergeSchedule::IsValidInflection(-1.0));
  EXPECT_TRUE(MergeSchedule::IsValidInflection(1.0));
  EXPECT_FALSE(MergeSchedule::IsValidInflection(std::nextafter(1.0, 2.0)));
  EXPECT_FALSE(MergeSchedule::IsValidInflection(std::numeric_limits<double>::quiet_NaN()));
}

}  // namespace
}  // namespace tome
