#include "server/merge/merge_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace tome {
namespace {

using ::testing::ElementsAre;

TEST(MergePlanTest, PacksTheImagesEndToEndInEveryBlock) {
  const std::vector<MergePlan::Image> images = {
      {.tokens = 10, .merges_per_block = {2, 1}},
      {.tokens = 10, .merges_per_block = {0, 0}},
      {.tokens = 7, .merges_per_block = {3, 0}},
  };

  const MergePlan plan(images, 2, 1);

  EXPECT_THAT(plan.at(0), ElementsAre(Segment{0, 10, 2}, Segment{10, 10, 0}, Segment{20, 7, 3}));
  EXPECT_THAT(plan.at(1), ElementsAre(Segment{0, 8, 1}, Segment{8, 10, 0}, Segment{18, 4, 0}));
  EXPECT_THAT(plan.at(2), ElementsAre(Segment{0, 7, 0}, Segment{7, 10, 0}, Segment{17, 4, 0}));
  EXPECT_EQ(plan.packed_tokens(0), 27);
  EXPECT_EQ(plan.packed_tokens(2), 21);
}

TEST(MergePlanTest, CapsAtHalfOfTheUnprotectedTokens) {
  // 197 tokens, one of them the class token: at most 98, then 49, then 24 pairs.
  const std::vector<MergePlan::Image> images = {
      {.tokens = 197, .merges_per_block = {1000, 1000, 1000}}};

  const MergePlan plan(images, 3, 1);

  EXPECT_THAT(plan.MergedPerBlock(0), ElementsAre(98, 49, 24));
  EXPECT_EQ(plan.at(3)[0].tokens, 26);
}

TEST(MergePlanTest, NeverMergesPrefixTokens) {
  const std::vector<MergePlan::Image> images = {{.tokens = 5, .merges_per_block = {9, 9}}};

  EXPECT_THAT(MergePlan(images, 2, 5).MergedPerBlock(0), ElementsAre(0, 0));
  EXPECT_THAT(MergePlan(images, 2, 4).MergedPerBlock(0), ElementsAre(0, 0));
  EXPECT_THAT(MergePlan(images, 2, 3).MergedPerBlock(0), ElementsAre(1, 0));
}

TEST(MergePlanTest, KnowsWhereNothingIsMerged) {
  const std::vector<MergePlan::Image> images = {{.tokens = 9, .merges_per_block = {0, 1}},
                                                {.tokens = 9, .merges_per_block = {0, 0}}};

  const MergePlan plan(images, 2, 1);

  EXPECT_FALSE(plan.AnyMerges(0));
  EXPECT_TRUE(plan.AnyMerges(1));
  EXPECT_FALSE(plan.AnyMerges(2));
}

TEST(MergePlanTest, AnEmptyBatchHasNoTokens) {
  const MergePlan plan({}, 3, 1);

  EXPECT_EQ(plan.images(), 0);
  EXPECT_EQ(plan.packed_tokens(0), 0);
  EXPECT_EQ(plan.packed_tokens(3), 0);
}

}  // namespace
}  // namespace tome
