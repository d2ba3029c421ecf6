#include "server/lab/objectives.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/clamp_min.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>

#include <limits>

namespace tome {
namespace {

// Cosines lie in -1..1: without a factor their softmax would stay flat.
constexpr double kLabelScale = 16.0;
constexpr double kLabelSmoothing = 0.1;

at::Tensor Normalized(const at::Tensor& rows) {
  constexpr double kLeastLength = 1e-12;
  return rows / at::linalg_vector_norm(rows, 2, 1, /*keepdim=*/true).clamp_min(kLeastLength);
}

}  // namespace

at::Tensor SupervisedLoss(const at::Tensor& embeddings, const at::Tensor& label_vectors,
                          const at::Tensor& labels) {
  const at::Tensor cosines = at::matmul(Normalized(embeddings), Normalized(label_vectors).t());
  return at::cross_entropy_loss(kLabelScale * cosines, labels, /*weight=*/{}, at::Reduction::Mean,
                                /*ignore_index=*/-100, kLabelSmoothing);
}

at::Tensor ContrastiveLoss(const at::Tensor& first, const at::Tensor& second, double temperature) {
  const int64_t images = first.size(0);
  const at::Tensor views = Normalized(at::cat({first, second}));
  const at::Tensor itself = at::eye(2 * images, views.options().dtype(c10::ScalarType::Bool));
  const at::Tensor logits = (at::matmul(views, views.t()) / temperature)
                                .masked_fill(itself, -std::numeric_limits<float>::infinity());
  const at::Tensor place = at::arange(images, views.options().dtype(c10::ScalarType::Long));
  return at::cross_entropy_loss(logits, at::cat({place + images, place}));
}

at::Tensor DistillationLoss(const at::Tensor& student, const at::Tensor& teacher) {
  return 1.0 - (Normalized(student) * Normalized(teacher.detach())).sum(1).mean();
}

}  // namespace tome
