#include "client/cli/progress_bar.h"

#include <gtest/gtest.h>

namespace tome::client {
namespace {

TEST(ProgressLineTest, TellsRateTimeLeftAndFailures) {
  EXPECT_EQ(ProgressLine({100, 23, 2}, absl::Seconds(10), 120),
            "[######------------------]  25/100  2.5 images/s  0:30 left  2 failed");
}

TEST(ProgressLineTest, PromisesNoEndBeforeTheFirstAnswer) {
  EXPECT_EQ(ProgressLine({100, 0, 0}, absl::Seconds(1), 120),
            "[------------------------]  0/100  0.0 images/s");
}

TEST(ProgressLineTest, TellsHoursOfALongRun) {
  EXPECT_EQ(ProgressLine({7201, 1, 0}, absl::Seconds(1), 120),
            "[------------------------]  1/7201  1.0 images/s  2:00:00 left");
}

TEST(ProgressLineTest, FitsTheTerminal) {
  EXPECT_EQ(ProgressLine({4, 4, 0}, absl::Seconds(1), 30), "[########################]  4/");
}

}  // namespace
}  // namespace tome::client
