#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <vector>

#include "server/merge/merge_plan.h"
#include "server/model/merge_tokens.h"

namespace tome {
namespace {

constexpr int kImageTokens = 12;
constexpr int kWidth = 3;
constexpr int kPrefix = 1;

// Two images of which the second merges nothing.
MergePlan Plan() {
  return MergePlan(std::vector<MergePlan::Image>{{.tokens = kImageTokens, .merges_per_block = {4}},
                                                 {.tokens = kImageTokens, .merges_per_block = {0}}},
                   1, kPrefix);
}

TEST(MergeGradientTest, IsThatOfFiniteDifferences) {
  at::Generator random = at::detail::createCPUGenerator(3);
  const MergePlan plan = Plan();
  const at::Tensor keys = at::randn({2 * kImageTokens, 2, 4}, random);
  const std::vector<TokenMatch> matches = MatchTokens(keys, plan.at(0), kPrefix);
  const at::Tensor size = at::randn({2 * kImageTokens}, random).abs() + 0.5;
  at::Tensor tokens = at::randn({2 * kImageTokens, kWidth}, random);
  const at::Tensor direction = at::randn({2 * kImageTokens - 4, kWidth}, random);
  const auto along = [&](const at::Tensor& x) {
    return (MergeTokens(x, size, plan.at(0), matches, kPrefix).first * direction).sum();
  };

  tokens.set_requires_grad(true);
  along(tokens).backward();

  // Merging is linear in the tokens, so that a wide difference is as right as a narrow one.
  constexpr double kStep = 0.5;
  for (int row = 0; row < 2 * kImageTokens; ++row) {
    for (int column = 0; column < kWidth; ++column) {
      at::Tensor above = tokens.detach().clone();
      at::Tensor below = above.clone();
      above[row][column] += kStep;
      below[row][column] -= kStep;
      const double difference = (along(above) - along(below)).item<double>() / (2 * kStep);
      EXPECT_NEAR(tokens.grad()[row][column].item<double>(), difference, 1e-4)
          << row << ", " << column;
    }
  }
}

TEST(MergeGradientTest, DividesAmongTheTokensOfAGroupByTheirSizes) {
  const MergePlan plan(std::vector<MergePlan::Image>{{.tokens = 2, .merges_per_block = {1}}}, 1, 0);
  const std::vector<TokenMatch> matches = {{.kept = {}, .source = {0}, .destination = {0}}};
  at::Tensor tokens = at::randn({2, 1}, at::detail::createCPUGenerator(3));
  tokens.set_requires_grad(true);

  const at::Tensor size = at::tensor({3.0f, 1.0f});
  MergeTokens(tokens, size, plan.at(0), matches, 0).first.sum().backward();

  EXPECT_FLOAT_EQ(tokens.grad()[0][0].item<float>(), 0.75f);
  EXPECT_FLOAT_EQ(tokens.grad()[1][0].item<float>(), 0.25f);
}

}  // namespace
}  // namespace tome
