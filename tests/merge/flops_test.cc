#include "server/merge/flops.h"

#include <gtest/gtest.h>

#include <vector>

#include "server/merge/merge_plan.h"

namespace tome {
namespace {

double BaseFlops(int r) {
  constexpr int kBlocks = 12;
  const std::vector<MergePlan::Image> images = {
      {.tokens = 197, .merges_per_block = std::vector<int>(kBlocks, r)}};
  const MergePlan plan(images, kBlocks, 1);
  return BlockFlops({.token_dim = 768, .mlp_hidden_dim = 3072}, 197, plan.MergedPerBlock(0));
}

TEST(FlopsTest, CountsOneBlockByHand) {
  // D = 2, hidden 8, 3 tokens of which 1 is merged before the MLP.
  const double attention = 4 * 2 * 2 * 3 + 2 * 3 * 3 * 2;
  const double mlp = 2 * 2 * 8 * 2;

  EXPECT_EQ(BlockFlops({.token_dim = 2, .mlp_hidden_dim = 8}, 3, std::vector<int>{1}),
            2 * (attention + mlp));
}

TEST(FlopsTest, GivesViTBaseItsPublishedCost) { EXPECT_NEAR(BaseFlops(0) / 1e9, 34.9, 0.05); }

TEST(FlopsTest, GivesTheRatiosThatMergingPromises) {
  EXPECT_NEAR(BaseFlops(0) / BaseFlops(8), 1.34, 0.005);
  EXPECT_NEAR(BaseFlops(0) / BaseFlops(13), 1.70, 0.005);
  EXPECT_NEAR(BaseFlops(0) / BaseFlops(16), 2.02, 0.005);
}

TEST(BlockFlopsTest, CountsTheGateOfAGatedMlp) {
  const std::vector<int> merges = {1};
  const double plain = BlockFlops({.token_dim = 2, .mlp_hidden_dim = 8}, 3, merges);

  EXPECT_EQ(BlockFlops({.token_dim = 2, .mlp_hidden_dim = 8, .gated_mlp = true}, 3, merges),
            plain + 2 * 2 * 8 * 2);
}

}  // namespace
}  // namespace tome
