#include "server/lab/ablation.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cosine_similarity.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/stack.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <numeric>
#include <random>
#include <utility>

#include "server/merge/merge_plan.h"
#include "server/merge/merge_schedule.h"
#include "server/model/precision.h"

namespace tome {
namespace {

using Clock = std::chrono::steady_clock;

double MillisecondsSince(Clock::time_point begun) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begun).count();
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

// Everything drawn follows from the numbers given.
std::mt19937_64 RandomOf(std::initializer_list<uint64_t> numbers) {
  std::seed_seq words(numbers.begin(), numbers.end());
  return std::mt19937_64(words);
}

VitDescription WithOtherAttention(VitDescription vit) {
  vit.proportional_attention = !vit.proportional_attention;
  return vit;
}

MergePlan PlanOf(const VitDescription& vit, int64_t images, int r) {
  const MergeSchedule schedule(MergeSchedule::Constant{r});
  const MergePlan::Image image = {.tokens = vit.tokens(),
                                  .merges_per_block = schedule.PerBlockMerges(vit.blocks)};
  return MergePlan(std::vector<MergePlan::Image>(images, image), vit.blocks, vit.prefix_tokens());
}

std::pair<double, double> MeanAndP5(const at::Tensor& values) {
  const at::Tensor sorted = std::get<0>(values.sort());
  return {values.mean().item<double>(), sorted[values.size(0) / 20].item<double>()};
}

}  // namespace

std::vector<Variant> VariantsFor(const VitDescription& vit) {
  const std::string no_class_token = vit.class_token ? "" : "it has no class token";
  return {
      {.name = "default"},
      {.name = "similarity of queries", .reduction = {.feature = Feature::kQuery}},
      {.name = "similarity of values", .reduction = {.feature = Feature::kValue}},
      {.name = "similarity of tokens", .reduction = {.feature = Feature::kToken}},
      {.name = "dot product", .reduction = {.similarity = Similarity::kDotProduct}},
      {.name = "Euclidean distance", .reduction = {.similarity = Similarity::kEuclidean}},
      {.name = "heads concatenated", .reduction = {.heads = Heads::kConcatenated}},
      {.name = "sequential sets", .reduction = {.sets = Sets::kSequential}},
      {.name = "random sets", .reduction = {.sets = Sets::kRandom}},
      {.name = "plain mean", .reduction = {.combine = Combine::kMean}},
      {.name = "maximum", .reduction = {.combine = Combine::kMax}},
      {.name = "keep one", .reduction = {.combine = Combine::kKeepOne}},
      {.name = vit.proportional_attention ? "no proportional attention" : "proportional attention",
       .other_attention = true},
      {.name = "random dropped", .reduction = {.method = Method::kDropRandom}},
      {.name = "least attended dropped",
       .reduction = {.method = Method::kDropByClassAttention},
       .not_for_model = no_class_token},
      {.name = "k-means, 2 iterations", .reduction = {.method = Method::kKMeans, .iterations = 2}},
      {.name = "k-means, 5 iterations", .reduction = {.method = Method::kKMeans, .iterations = 5}},
      {.name = "PiToMe", .reduction = {.method = Method::kPiToMe}},
  };
}

std::optional<double> NearestLabelAccuracy(const at::Tensor& embeddings, const at::Tensor& labels) {
  if (labels.size(0) < 2 || (labels == labels[0]).all().item<bool>()) return std::nullopt;
  const at::Tensor norm = at::linalg_vector_norm(embeddings, 2, 1, /*keepdim=*/true);
  const at::Tensor unit = embeddings / norm.clamp_min(1e-12);
  at::Tensor cosine = at::matmul(unit, unit.t());
  cosine.diagonal().fill_(-std::numeric_limits<float>::infinity());
  const at::Tensor found = labels.index_select(0, cosine.argmax(1));
  return (found == labels).to(kFloat).mean().item<double>();
}

AblationRow::Figures FiguresOf(const at::Tensor& exact, const at::Tensor& reduced,
                               const at::Tensor& labels) {
  AblationRow::Figures figures;
  figures.accuracy = NearestLabelAccuracy(reduced, labels);
  std::tie(figures.cosine, figures.cosine_p5) = MeanAndP5(at::cosine_similarity(exact, reduced, 1));
  const at::Tensor mean = exact.mean(0, /*keepdim=*/true);
  std::tie(figures.centred, figures.centred_p5) =
      MeanAndP5(at::cosine_similarity(exact - mean, reduced - mean, 1));
  return figures;
}

Ablation::Ablation(const VitDescription& vit, const VitWeights& weights, const std::vector<int>& r,
                   uint64_t seed)
    : pass_(vit, weights, Attending::kRunsOfEqualImages),
      other_attention_(WithOtherAttention(vit), weights, Attending::kRunsOfEqualImages),
      seed_(seed) {
  arms_.push_back({.r = 0});
  for (const int each : r) {
    for (Variant& variant : VariantsFor(vit)) {
      arms_.push_back({.r = each, .variant = std::move(variant)});
    }
  }
}

void Ablation::Add(const at::Tensor& pixels) {
  const c10::InferenceMode inference;
  const at::Tensor normalized = pass_.NormalizePixels(pixels);
  if (batches_ == 0) {
    batch_images_ = pixels.size(0);
    for (Arm& arm : arms_) RunArm(arm, normalized, /*keep=*/false);
  }
  std::vector<size_t> order(arms_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::mt19937_64 random = RandomOf({seed_, static_cast<uint64_t>(batches_)});
  std::ranges::shuffle(order, random);
  for (const size_t place : order) RunArm(arms_[place], normalized, /*keep=*/true);
  ++batches_;
}

void Ablation::RunArm(Arm& arm, const at::Tensor& pixels, bool keep) {
  if (arm.variant.has_value() && !arm.variant->not_for_model.empty()) return;
  const int64_t images = pixels.size(0);
  const MergePlan plan = PlanOf(pass_.vit(), images, arm.r);
  double reduction_milliseconds = 0.0;
  const auto run = [&] {
    if (!arm.variant.has_value()) return pass_.Run(pixels, plan);
    // The same draws for each variant.
    const TokenReduction reduce = MakeReduction(
        arm.variant->reduction,
        RandomOf({seed_, static_cast<uint64_t>(batches_), static_cast<uint64_t>(arm.r)}));
    const TokenReduction timed = [&](const BlockTokens& block) {
      const Clock::time_point begun = Clock::now();
      auto reduced = reduce(block);
      reduction_milliseconds += MillisecondsSince(begun);
      return reduced;
    };
    return (arm.variant->other_attention ? other_attention_ : pass_).Run(pixels, plan, timed);
  };
  const Clock::time_point begun = Clock::now();
  const PassResult result = run();
  const double milliseconds = MillisecondsSince(begun);
  if (!keep) return;
  arm.embeddings.push_back(at::stack(result.embeddings));
  if (images < batch_images_) return;
  arm.milliseconds.push_back(milliseconds / static_cast<double>(images));
  arm.reduction_milliseconds.push_back(reduction_milliseconds / static_cast<double>(images));
}

std::vector<AblationRow> Ablation::Rows(const at::Tensor& labels) const {
  const c10::InferenceMode inference;
  const at::Tensor exact = at::cat(arms_.front().embeddings);
  std::vector<AblationRow> rows;
  for (const Arm& arm : arms_) {
    AblationRow row;
    row.r = arm.r;
    row.variant = arm.variant.has_value() ? arm.variant->name : "no merging";
    if (arm.variant.has_value()) row.not_for_model = arm.variant->not_for_model;
    if (row.not_for_model.empty()) {
      row.figures = FiguresOf(exact, at::cat(arm.embeddings), labels);
      row.milliseconds = Median(arm.milliseconds);
      row.reduction_milliseconds = Median(arm.reduction_milliseconds);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace tome
