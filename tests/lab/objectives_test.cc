#include "server/lab/objectives.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace tome {
namespace {

TEST(ContrastiveLossTest, IsTheSoftmaxOfTheOtherViewAmongAllOthers) {
  const at::Tensor first = at::tensor({1.0f, 0.0f, 0.0f, 2.0f}).view({2, 2});
  const at::Tensor second = at::tensor({3.0f, 0.0f, 0.0f, 1.0f}).view({2, 2});

  const double loss = ContrastiveLoss(first, second, 0.5).item<double>();

  // Each view has cosine 1 to its other and 0 to the two of the other picture.
  EXPECT_NEAR(loss, -std::log(std::exp(2.0) / (std::exp(2.0) + 2.0)), 1e-6);
}

TEST(ContrastiveLossTest, PullsTheTwoViewsTogether) {
  at::Tensor first = at::tensor({1.0f, 0.2f, 0.1f, 1.0f}).view({2, 2});
  const at::Tensor second = at::eye(2);
  first.set_requires_grad(true);

  ContrastiveLoss(first, second, 0.5).backward();

  const at::Tensor moved = first.detach() - 0.1 * first.grad();
  EXPECT_LT(ContrastiveLoss(moved, second, 0.5).item<double>(),
            ContrastiveLoss(first, second, 0.5).item<double>());
}

TEST(SupervisedLossTest, FallsAsAnEmbeddingTurnsToItsLabel) {
  const at::Tensor labels = at::tensor(std::vector<int64_t>{1});
  const auto loss = [&](float x, float y) {
    return SupervisedLoss(at::tensor({x, y}).view({1, 2}), at::eye(2), labels).item<double>();
  };

  EXPECT_LT(loss(1.0f, 1.0f), loss(1.0f, 0.0f));
  EXPECT_NEAR(loss(0.0f, 1.0f), loss(0.0f, 5.0f), 1e-6);  // its length says nothing
}

TEST(DistillationLossTest, IsTheMissingCosineAndLeavesTheTeacherAlone) {
  at::Tensor student = at::tensor({1.0f, 1.0f}).view({1, 2});
  at::Tensor teacher = at::tensor({2.0f, 0.0f}).view({1, 2});
  student.set_requires_grad(true);
  teacher.set_requires_grad(true);

  const at::Tensor loss = DistillationLoss(student, teacher);
  loss.backward();

  EXPECT_NEAR(loss.item<double>(), 1.0 - std::sqrt(0.5), 1e-6);
  EXPECT_TRUE(student.grad().defined());
  EXPECT_FALSE(teacher.grad().defined());
}

}  // namespace
}  // namespace tome
