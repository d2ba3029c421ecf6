#include "server/lab/optimizer.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_norm.h>
#include <ATen/ops/linalg_svdvals.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
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

at::Tensor RandomMatrix(int64_t rows, int64_t columns) {
  return at::randn({rows, columns}, at::detail::createCPUGenerator(7));
}

TEST(OrthogonalizedTest, BringsEverySingularValueNearOneAndTurnsNothing) {
  for (const auto& [rows, columns] : {std::pair(24, 8), std::pair(8, 24), std::pair(16, 16)}) {
    const at::Tensor matrix = RandomMatrix(rows, columns);

    const at::Tensor result = Orthogonalized(1e-3 * matrix);

    ASSERT_EQ(result.sizes(), matrix.sizes());
    const at::Tensor values = at::linalg_svdvals(result);
    EXPECT_GT(values.min().item<double>(), 0.3) << rows << " x " << columns << "\n" << values;
    EXPECT_LT(values.max().item<double>(), 1.3) << rows << " x " << columns << "\n" << values;
    // The polar factor's product with the matrix is symmetric, and so is any odd polynomial's.
    const at::Tensor product = at::matmul(result.t(), matrix);
    EXPECT_LT((product - product.t()).abs().max().item<double>(), 1e-3);
  }
}

class OptimizerTest : public testing::Test {
 protected:
  OptimizerTest() : weight_(at::tensor({2.0f}).view({1, 1})), bias_(at::tensor({2.0f})) {
    weight_.set_requires_grad(true);
    bias_.set_requires_grad(true);
  }

  Optimizer OptimizerOf(Algorithm algorithm) const {
    return Optimizer({{"weight", weight_}, {"bias", bias_}}, algorithm, 0.1);
  }

  at::Tensor weight_;
  at::Tensor bias_;
};

TEST_F(OptimizerTest, AdamWStepsByTheLearningRateAndDecaysWeightsAlone) {
  Optimizer optimizer = OptimizerOf(Algorithm::kAdamW);
  (0.3 * weight_.sum() + 0.4 * bias_.sum()).backward();

  const double norm = optimizer.Step(0.01, 1.0);

  EXPECT_NEAR(norm, 0.5, 1e-6);
  // At the first step the corrected moments are the gradient and its square, whatever its size.
  EXPECT_NEAR(bias_.item<double>(), 2.0 - 0.01, 1e-6);
  EXPECT_NEAR(weight_.item<double>(), 2.0 - 0.01 * 0.1 * 2.0 - 0.01, 1e-6);
  EXPECT_FALSE(weight_.grad().defined());
}

TEST_F(OptimizerTest, MuonStepsMatricesOfWeightsByAnOrthogonalMatrixOfAdamWsSize) {
  at::Tensor matrix = at::randn({32, 8}, at::detail::createCPUGenerator(1));
  matrix.set_requires_grad(true);
  const at::Tensor before = matrix.detach().clone();
  const at::Tensor slope = RandomMatrix(32, 8);
  Optimizer optimizer({{"fc.weight", matrix}, {"bias", bias_}}, Algorithm::kMuon, 0.1);
  ((matrix * slope).sum() + 0.4 * bias_.sum()).backward();

  optimizer.Step(0.01, 1e9);

  const at::Tensor expected =
      before * (1.0 - 0.01 * 0.1) - 0.01 * 0.2 * std::sqrt(32.0) * Orthogonalized(slope);
  EXPECT_LT((matrix.detach() - expected).abs().max().item<double>(), 1e-6);
  EXPECT_NEAR(bias_.item<double>(), 2.0 - 0.01, 1e-6) << "AdamW steps what is no matrix";
}

TEST_F(OptimizerTest, MuonRemembersEarlierGradients) {
  at::Tensor matrix = at::eye(4);
  matrix.set_requires_grad(true);
  const at::Tensor first = RandomMatrix(4, 4);
  const at::Tensor second = first.t();
  Optimizer optimizer({{"fc.weight", matrix}}, Algorithm::kMuon, 0.0);
  (matrix * first).sum().backward();
  optimizer.Step(0.01, 1e9);
  const at::Tensor before = matrix.detach().clone();
  (matrix * second).sum().backward();

  optimizer.Step(0.01, 1e9);

  const at::Tensor mean = 0.95 * first + second;
  const at::Tensor expected = before - 0.01 * 0.2 * 2.0 * Orthogonalized(second + 0.95 * mean);
  EXPECT_LT((matrix.detach() - expected).abs().max().item<double>(), 1e-6);
}

TEST_F(OptimizerTest, MuonLeavesAMatrixWithoutAGradientWhereItIs) {
  Optimizer optimizer = OptimizerOf(Algorithm::kMuon);
  (0.0 * weight_.sum() + bias_.sum()).backward();

  optimizer.Step(0.01, 1.0);

  EXPECT_EQ(weight_.item<double>(), 2.0);
}

TEST_F(OptimizerTest, ScalesGradientsDownToTheLargestNorm) {
  Optimizer optimizer = OptimizerOf(Algorithm::kAdamW);
  (30.0 * weight_.sum() + 40.0 * bias_.sum()).backward();

  EXPECT_NEAR(optimizer.Step(0.01, 1.0), 50.0, 1e-4);

  EXPECT_NEAR(optimizer.State().at("mean.weight").item<double>(), 0.1 * 0.6, 1e-6);
}

TEST_F(OptimizerTest, LeavesEverythingWhereAGradientIsNotFinite) {
  for (const Algorithm algorithm : {Algorithm::kAdamW, Algorithm::kMuon}) {
    Optimizer optimizer = OptimizerOf(algorithm);
    (weight_.sum() / 0.0).backward();

    EXPECT_FALSE(std::isfinite(optimizer.Step(0.01, 1.0)));

    EXPECT_EQ(weight_.item<double>(), 2.0);
    EXPECT_EQ(optimizer.State().at("mean.weight").item<double>(), 0.0);
    EXPECT_EQ(optimizer.State().at("steps.weight").item<double>(), 0.0);
  }
}

}  // namespace
}  // namespace tome
