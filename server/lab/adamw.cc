#include "server/lab/adamw.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/MathConstants.h>

#include <cmath>
#include <vector>

#include "absl/strings/match.h"

namespace tome {
namespace {

// 0.95 instead of the usual 0.999 forgets early gradients soon: runs here are short.
constexpr double kMeanDecay = 0.9;
constexpr double kSquareDecay = 0.95;
constexpr double kEpsilon = 1e-8;

bool Decays(const std::string& name, const at::Tensor& parameter) {
  return parameter.dim() > 1 && absl::EndsWith(name, "weight");
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

AdamW::AdamW(const std::map<std::string, at::Tensor>& parameters, double weight_decay)
    : parameters_(parameters), weight_decay_(weight_decay) {
  for (const auto& [name, parameter] : parameters_) {
    const at::Tensor values = parameter.detach();
    moments_[name] = {.mean = at::zeros_like(values),
                      .square = at::zeros_like(values),
                      .steps = at::zeros({}, values.options())};
  }
}

double AdamW::Step(double learning_rate, double largest_norm) {
  const at::NoGradGuard no_gradients;
  std::vector<at::Tensor> norms;
  for (const auto& [name, parameter] : parameters_) {
    if (parameter.grad().defined()) norms.push_back(at::linalg_vector_norm(parameter.grad()));
  }
  const double norm = at::linalg_vector_norm(at::stack(norms)).item<double>();
  if (std::isfinite(norm)) {
    if (norm > largest_norm) Scale(largest_norm / norm);
    StepGroup(learning_rate, /*decays=*/true);
    StepGroup(learning_rate, /*decays=*/false);
  }
  for (const auto& [name, parameter] : parameters_) parameter.mutable_grad().reset();
  return norm;
}

void AdamW::Scale(double factor) {
  for (const auto& [name, parameter] : parameters_) {
    if (parameter.grad().defined()) parameter.grad().mul_(factor);
  }
}

void AdamW::StepGroup(double learning_rate, bool decays) {
  std::vector<at::Tensor> values;
  std::vector<at::Tensor> gradients;
  std::vector<at::Tensor> means;
  std::vector<at::Tensor> squares;
  std::vector<at::Tensor> steps;
  for (const auto& [name, parameter] : parameters_) {
    if (!parameter.grad().defined() || Decays(name, parameter) != decays) continue;
    const Moments& moments = moments_.at(name);
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

}  // namespace tome
