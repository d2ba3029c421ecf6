#include "server/lab/training.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/lerp.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randperm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"

#include "server/base/status.h"
#include "server/lab/objectives.h"
#include "server/lab/safetensors_writer.h"
#include "server/merge/merge_plan.h"
#include "server/merge/merge_schedule.h"
#include "server/model/precision.h"
#include "server/model/safetensors.h"

namespace tome {
namespace {

constexpr double kLargestGradientNorm = 1.0;
constexpr char kLabelVectors[] = "label_vectors";

// What is drawn, for SeedOf.
enum Purpose : uint64_t { kLabelVectorsPurpose, kViewsPurpose, kOrderPurpose };

at::Generator GeneratorOf(uint64_t seed, Purpose purpose, uint64_t time) {
  return at::detail::createCPUGenerator(SeedOf(seed, purpose, time));
}

absl::Status CheckFits(const TrainableVit& model, const std::optional<TrainableVit>& teacher,
                       int labels, const TrainingOptions& options) {
  if (options.supervised > 0.0 && labels < 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--supervised: folders are labels, and the pictures are of ", labels, " folder"));
  }
  if (!teacher.has_value()) return absl::OkStatus();
  const VitDescription& own = model.vit();
  const VitDescription& other = teacher->vit();
  if (own.embedding_dim() != other.embedding_dim()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--teacher: its embeddings have ", other.embedding_dim(),
                     " dimensions, the model's ", own.embedding_dim()));
  }
  if (own.preprocessing.crop_height != other.preprocessing.crop_height ||
      own.preprocessing.crop_width != other.preprocessing.crop_width) {
    return absl::InvalidArgumentError(
        absl::StrCat("--teacher: it sees ", other.preprocessing.crop_height, " x ",
                     other.preprocessing.crop_width, " pixels, the model ",
                     own.preprocessing.crop_height, " x ", own.preprocessing.crop_width));
  }
  return absl::OkStatus();
}

std::map<std::string, at::Tensor> WithLabelVectors(std::map<std::string, at::Tensor> parameters,
                                                   const at::Tensor& label_vectors) {
  if (label_vectors.defined()) parameters[kLabelVectors] = label_vectors;
  return parameters;
}

at::Tensor NewLabelVectors(const TrainableVit& model, int labels, const TrainingOptions& options) {
  if (options.supervised == 0.0) return {};
  const at::Generator random = GeneratorOf(options.seed, kLabelVectorsPurpose, 0);
  at::Tensor vectors = at::randn({labels, model.vit().embedding_dim()}, random)
                           .to(model.parameters().begin()->second.device());
  vectors.set_requires_grad(true);
  return vectors;
}

}  // namespace

uint64_t SeedOf(uint64_t seed, uint64_t purpose, uint64_t time) {
  // SplitMix64 over the three.
  uint64_t mixed = 0;
  for (const uint64_t part : {seed, purpose, time}) {
    mixed += part + 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    mixed ^= mixed >> 31;
  }
  return mixed;
}

std::vector<int64_t> BatchOf(int64_t step, int64_t batch, int64_t pictures, uint64_t seed) {
  const int64_t steps_per_epoch = pictures / batch;
  const int64_t epoch = step / steps_per_epoch;
  const at::Tensor order = at::randperm(pictures, GeneratorOf(seed, kOrderPurpose, epoch));
  const int64_t* first = order.const_data_ptr<int64_t>() + step % steps_per_epoch * batch;
  return {first, first + batch};
}

absl::StatusOr<Training> Training::Create(TrainableVit model, std::optional<TrainableVit> teacher,
                                          int labels, TrainingOptions options) {
  TOME_RETURN_IF_ERROR(CheckFits(model, teacher, labels, options));
  return Training(std::move(model), std::move(teacher), labels, std::move(options));
}

Training::Training(TrainableVit model, std::optional<TrainableVit> teacher, int labels,
                   TrainingOptions options)
    : model_(std::move(model)),
      teacher_(std::move(teacher)),
      options_(std::move(options)),
      label_vectors_(NewLabelVectors(model_, labels, options_)),
      learned_(WithLabelVectors(model_.parameters(), label_vectors_)),
      optimizer_(learned_, options_.algorithm, options_.weight_decay) {}

at::Tensor Training::Embeddings(const ReferencePass& pass, const at::Tensor& pixels,
                                const std::vector<int>& r) const {
  std::vector<MergePlan::Image> images;
  for (const int each : r) {
    const MergeSchedule schedule(MergeSchedule::Constant{each});
    images.push_back({.tokens = pass.vit().tokens(),
                      .merges_per_block = schedule.PerBlockMerges(pass.vit().blocks)});
  }
  const MergePlan plan(images, pass.vit().blocks, pass.vit().prefix_tokens());
  return at::stack(pass.Run(pixels, plan).embeddings);
}

absl::StatusOr<StepReport> Training::Step(const at::Tensor& pixels, const at::Tensor& labels) {
  StepReport report;
  at::Generator random = GeneratorOf(options_.seed, kViewsPurpose, steps_done_);
  const Preprocessing& input = model_.vit().preprocessing;
  const int64_t batch = pixels.size(0);
  const std::optional<Blending> blending = DrawBlending(options_.mixup, batch, random);
  const at::Tensor pictures = blending.has_value() ? Blend(pixels, *blending) : pixels;
  const int views = options_.contrastive > 0.0 ? 2 : 1;
  std::vector<at::Tensor> seen;
  std::vector<int> r;
  for (int view = 0; view < views; ++view) {
    seen.push_back(
        Augment(pictures, input.crop_height, input.crop_width, options_.augmentation, random));
    const int64_t drawn =
        at::randint(static_cast<int64_t>(options_.r.size()), {1}, random).item<int64_t>();
    report.r.push_back(options_.r[drawn]);
    r.insert(r.end(), batch, options_.r[drawn]);
  }

  const ReferencePass pass(model_.vit(), model_.Weights(options_.compute_type),
                           Attending::kRunsOfEqualImages);
  const at::Tensor normalized = pass.NormalizePixels(at::cat(seen));
  const at::Tensor embeddings = Embeddings(pass, normalized, r);
  at::Tensor loss = at::zeros({}, embeddings.options());
  const auto add = [&](double weight, const at::Tensor& part, std::optional<double>* shown) {
    loss = loss + weight * part;
    *shown = part.item<double>();
  };
  if (options_.supervised > 0.0) {
    const auto of = [&](const at::Tensor& each) {
      return SupervisedLoss(embeddings, label_vectors_, each.repeat({views}));
    };
    add(options_.supervised,
        blending.has_value()
            ? at::lerp(of(labels.index_select(0, blending->other.to(labels.device()))), of(labels),
                       blending->share)
            : of(labels),
        &report.supervised);
  }
  if (options_.contrastive > 0.0) {
    add(options_.contrastive,
        ContrastiveLoss(embeddings.narrow(0, 0, batch), embeddings.narrow(0, batch, batch),
                        options_.temperature),
        &report.contrastive);
  }
  if (options_.distillation > 0.0) {
    const at::NoGradGuard no_gradients;
    const std::vector<int> exact(r.size(), 0);
    at::Tensor taught;
    if (teacher_.has_value()) {
      const ReferencePass teacher(teacher_->vit(), teacher_->Weights(options_.compute_type),
                                  Attending::kRunsOfEqualImages);
      taught = Embeddings(teacher, teacher.NormalizePixels(at::cat(seen)), exact);
    } else {
      taught = Embeddings(pass, normalized, exact);
    }
    const at::AutoGradMode gradients(true);
    add(options_.distillation, DistillationLoss(embeddings, taught), &report.distillation);
  }

  report.loss = loss.item<double>();
  if (std::isfinite(report.loss)) loss.backward();
  report.gradient_norm = std::isfinite(report.loss)
                             ? optimizer_.Step(LearningRate(options_.learning_rate, steps_done_,
                                                            options_.warm_up_steps, options_.steps),
                                               kLargestGradientNorm)
                             : report.loss;
  if (!std::isfinite(report.gradient_norm)) {
    return absl::InternalError(absl::StrCat("step ", steps_done_, ": the loss is ", report.loss,
                                            " and the norm of its gradient ", report.gradient_norm,
                                            "; a smaller --learning-rate may help"));
  }
  ++steps_done_;
  return report;
}

std::map<std::string, at::Tensor> Training::Learned() const {
  std::map<std::string, at::Tensor> tensors = optimizer_.State();
  for (const auto& [name, parameter] : learned_) tensors["value." + name] = parameter.detach();
  return tensors;
}

std::string Training::State() const {
  SafetensorsWriter writer;
  for (const auto& [name, tensor] : Learned()) writer.Add(name, tensor);
  // Exact as float32 up to 16 million steps.
  writer.Add("steps", at::tensor({static_cast<double>(steps_done_)}, at::kDouble));
  return writer.Bytes();
}

absl::Status Training::Restore(const std::string& path) {
  TOME_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  const at::NoGradGuard no_gradients;
  const auto read = [&](const std::string& name, const at::Tensor& target) -> absl::Status {
    const TensorView* stored = file.Find(name);
    if (stored == nullptr || stored->type != TensorType::kFloat32 ||
        stored->shape != target.sizes().vec()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": this tensor is not of the model that --from names"));
    }
    target.copy_(at::from_blob(const_cast<std::byte*>(stored->bytes.data()), stored->shape));
    return absl::OkStatus();
  };
  at::Tensor steps = at::zeros({1});
  TOME_RETURN_IF_ERROR(read("steps", steps));
  for (const auto& [name, tensor] : Learned()) TOME_RETURN_IF_ERROR(read(name, tensor));
  steps_done_ = static_cast<int64_t>(steps.item<double>());
  return absl::OkStatus();
}

}  // namespace tome
