#include "server/lab/optimizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/MathConstants.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tome {
namespace {

// 0.95 instead of the usual 0.999 forgets early gradients soon: runs here are short.
constexpr double kMeanDecay = 0.9;
constexpr double kSquareDecay = 0.95;
constexpr double kEpsilon = 1e-8;

// Muon's, as its authors chose them.
constexpr double kMomentum = 0.95;
constexpr int kNewtonSchulzSteps = 5;
// A step's root mean square is that of AdamW's, 0.2 to 0.4 of the learning rate.
constexpr double kStepOfAdamW = 0.2;

bool Decays(const std::string& name, const at::Tensor& parameter) {
  return parameter.dim() > 1 && absl::EndsWith(name, "weight");
}

bool IsMatrixOfWeights(const std::string& name, const at::Tensor& parameter) {
  return parameter.dim() == 2 && Decays(name, parameter);
}

}  // namespace

double LearningRate(double peak, int64_t step, int64_t warm_up_steps, int64_t steps) {
  if (step < warm_up_steps) {
    return peak * static_cast<double>(step + 1) / static_cast<double>(warm_up_steps);
  }
  const double done =
      static_cast<double>(step - warm_up_steps) / static_cast<double>(steps - warm_up_steps);
  return peak * 0.5 * (1.0 + std::cos(c10::pi<double> * done));
}

at::Tensor Orthogonalized(const at::Tensor& matrix) {
  // A polynomial that takes any singular value from 0 to 1 towards 1 fast, and never settles.
  constexpr double kLinear = 3.4445;
  constexpr double kCubic = -4.7750;
  constexpr double kQuintic = 2.0315;
  const bool tall = matrix.size(0) > matrix.size(1);
  at::Tensor x = tall ? matrix.t() : matrix;
  x = x / at::linalg_vector_norm(x);
  for (int i = 0; i < kNewtonSchulzSteps; ++i) {
    const at::Tensor gram = at::matmul(x, x.t());
    x = kLinear * x + at::matmul(kCubic * gram + kQuintic * at::matmul(gram, gram), x);
  }
  return tall ? x.t() : x;
}

Optimizer::Optimizer(const std::map<std::string, at::Tensor>& parameters, Algorithm algorithm,
                     double weight_decay)
    : parameters_(parameters), weight_decay_(weight_decay) {
  for (const auto& [name, parameter] : parameters_) {
    const at::Tensor values = parameter.detach();
    const bool by_muon = algorithm == Algorithm::kMuon && IsMatrixOfWeights(name, parameter);
    moments_[name] = {.mean = at::zeros_like(values),
                      .square = by_muon ? at::Tensor() : at::zeros_like(values),
                      .steps = at::zeros({}, values.options())};
  }
}

double Optimizer::Step(double learning_rate, double largest_norm) {
  const at::NoGradGuard no_gradients;
  std::vector<at::Tensor> norms;
  for (const auto& [name, parameter] : parameters_) {
    if (parameter.grad().defined()) norms.push_back(at::linalg_vector_norm(parameter.grad()));
  }
  const double norm = at::linalg_vector_norm(at::stack(norms)).item<double>();
  if (std::isfinite(norm)) {
    if (norm > largest_norm) Scale(largest_norm / norm);
    StepByAdamW(learning_rate, /*decays=*/true);
    StepByAdamW(learning_rate, /*decays=*/false);
    StepByMuon(learning_rate);
  }
  for (const auto& [name, parameter] : parameters_) parameter.mutable_grad().reset();
  return norm;
}

std::map<std::string, at::Tensor> Optimizer::State() const {
  std::map<std::string, at::Tensor> state;
  for (const auto& [name, moments] : moments_) {
    state[absl::StrCat("mean.", name)] = moments.mean;
    if (moments.square.defined()) state[absl::StrCat("square.", name)] = moments.square;
    state[absl::StrCat("steps.", name)] = moments.steps;
  }
  return state;
}

void Optimizer::Scale(double factor) {
  for (const auto& [name, parameter] : parameters_) {
    if (parameter.grad().defined()) parameter.grad().mul_(factor);
  }
}

void Optimizer::StepByAdamW(double learning_rate, bool decays) {
  std::vector<at::Tensor> values;
  std::vector<at::Tensor> gradients;
  std::vector<at::Tensor> means;
  std::vector<at::Tensor> squares;
  std::vector<at::Tensor> steps;
  for (const auto& [name, parameter] : parameters_) {
    const Moments& moments = moments_.at(name);
    if (!parameter.grad().defined() || !moments.square.defined()) continue;
    if (Decays(name, parameter) != decays) continue;
    values.push_back(parameter.detach());
    gradients.push_back(parameter.grad());
    means.push_back(moments.mean);
    squares.push_back(moments.square);
    moments.steps.add_(1.0);
    steps.push_back(moments.steps);
  }
  if (values.empty()) return;
  at::_fused_adamw_(values, gradients, means, squares, /*max_exp_avg_sqs=*/{}, steps, learning_rate,
                    kMeanDecay, kSquareDecay, decays ? weight_decay_ : 0.0, kEpsilon,
                    /*amsgrad=*/false, /*maximize=*/false);
}

void Optimizer::StepByMuon(double learning_rate) {
  for (const auto& [name, parameter] : parameters_) {
    const Moments& moments = moments_.at(name);
    const at::Tensor& gradient = parameter.grad();
    if (!gradient.defined() || moments.square.defined()) continue;
    moments.steps.add_(1.0);
    moments.mean.mul_(kMomentum).add_(gradient);
    const at::Tensor ahead = gradient + kMomentum * moments.mean;  // Nesterov's
    // A layer that no gradient has reached yet stays where it is.
    if (at::linalg_vector_norm(ahead).item<double>() == 0.0) continue;
    const auto longest = static_cast<double>(std::max(gradient.size(0), gradient.size(1)));
    const at::Tensor values = parameter.detach();
    values.mul_(1.0 - learning_rate * weight_decay_);
    values.sub_(learning_rate * kStepOfAdamW * std::sqrt(longest) * Orthogonalized(ahead));
  }
}

}  // namespace tome
