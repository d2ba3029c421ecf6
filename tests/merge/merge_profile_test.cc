#include "server/merge/merge_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tome {
namespace {

using ::testing::DoubleNear;
using ::testing::Eq;
using ::testing::Optional;

MergeProfile Profile() {
  return {
      .steps = {{.r = 0, .fidelity = 1.0}, {.r = 4, .fidelity = 0.98}, {.r = 12, .fidelity = 0.9}},
      .images = 10,
      .date = "2026-01-02"};
}

TEST(MergeProfileTest, TellsAMeasuredStepAsItIs) {
  EXPECT_THAT(Profile().FidelityAt(0), Optional(1.0));
  EXPECT_THAT(Profile().FidelityAt(12), Optional(0.9));
}

TEST(MergeProfileTest, JoinsTwoStepsByALine) {
  EXPECT_THAT(Profile().FidelityAt(3), Optional(DoubleNear(0.985, 1e-9)));
  EXPECT_THAT(Profile().FidelityAt(6), Optional(DoubleNear(0.96, 1e-9)));
}

TEST(MergeProfileTest, SaysNothingOfWhatIsBeyondTheLastStep) {
  EXPECT_THAT(Profile().FidelityAt(13), Eq(std::nullopt));
}

}  // namespace
}  // namespace tome
