#include "server/lab/adamw.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>

namespace tome {
namespace {

TEST(LearningRateTest, RisesOverTheWarmUpAndFallsAlongACosine) {
  EXPECT_DOUBLE_EQ(LearningRate(1.0, 0, 4, 104), 0.25);
  EXPECT_DOUBLE_EQ(LearningRate(1.0, 3, 4, 104), 1.0);
  EXPECT_DOUBLE_EQ(LearningRate(1.0, 4, 4, 104), 1.0);
  EXPECT_DOUBLE_EQ(LearningRate(1.0, 54, 4, 104), 0.5);
  EXPECT_LT(LearningRate(1.0, 103, 4, 104), 1e-3);
}

class AdamWTest : public testing::Test {
 protected:
  AdamWTest() : weight_(at::tensor({2.0f}).view({1, 1})), bias_(at::tensor({2.0f})) {
    weight_.set_requires_grad(true);
    bias_.set_requires_grad(true);
  }

  AdamW Optimizer() const { return AdamW({{"weight", weight_}, {"bias", bias_}}, 0.1); }

  at::Tensor weight_;
  at::Tensor bias_;
};

TEST_F(AdamWTest, StepsByTheLearningRateAndDecaysWeightsAlone) {
  AdamW optimizer = Optimizer();
  (0.3 * weight_.sum() + 0.4 * bias_.sum()).backward();

  const double norm = optimizer.Step(0.01, 1.0);

  EXPECT_NEAR(norm, 0.5, 1e-6);
  // At the first step the corrected moments are the gradient and its square, whatever its size.
  EXPECT_NEAR(bias_.item<double>(), 2.0 - 0.01, 1e-6);
  EXPECT_NEAR(weight_.item<double>(), 2.0 - 0.01 * 0.1 * 2.0 - 0.01, 1e-6);
  EXPECT_FALSE(weight_.grad().defined());
}

TEST_F(AdamWTest, ScalesGradientsDownToTheLargestNorm) {
  AdamW optimizer = Optimizer();
  (30.0 * weight_.sum() + 40.0 * bias_.sum()).backward();

  EXPECT_NEAR(optimizer.Step(0.01, 1.0), 50.0, 1e-4);

  EXPECT_NEAR(optimizer.moments().at("weight").mean.item<double>(), 0.1 * 0.6, 1e-6);
}

TEST_F(AdamWTest, LeavesEverythingWhereAGradientIsNotFinite) {
  AdamW optimizer = Optimizer();
  (weight_.sum() / 0.0).backward();

  EXPECT_FALSE(std::isfinite(optimizer.Step(0.01, 1.0)));

  EXPECT_EQ(weight_.item<double>(), 2.0);
  EXPECT_EQ(optimizer.moments().at("weight").mean.item<double>(), 0.0);
  EXPECT_EQ(optimizer.moments().at("weight").steps.item<double>(), 0.0);
}

}  // namespace
}  // namespace tome
