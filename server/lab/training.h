#ifndef TOME_SERVER_LAB_TRAINING_H_
#define TOME_SERVER_LAB_TRAINING_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/lab/augment.h"
#include "server/lab/optimizer.h"
#include "server/lab/trainable_vit.h"
#include "server/model/reference_pass.h"

namespace tome {

// What decides a training's result, beside the pictures.
struct TrainingOptions {
  int64_t steps = 1000;
  int64_t batch = 64;  // pictures a step
  int64_t warm_up_steps = 100;
  Algorithm algorithm = Algorithm::kAdamW;
  double learning_rate = 1e-3;
  double weight_decay = 0.05;
  // Weights of the objectives; 0 leaves one out. At least one is above 0.
  double supervised = 0.0;
  double contrastive = 0.0;
  double distillation = 0.0;
  double temperature = 0.1;  // of the contrastive one
  std::vector<int> r = {0};  // each view of a step draws its own
  double mixup = 0.0;        // share of the steps whose pictures are blended with each other
  Augmentation augmentation;
  c10::ScalarType compute_type = c10::ScalarType::Float;
  uint64_t seed = 0;
};

// What one step showed.
struct StepReport {
  double loss = 0.0;
  // Before their weights; of an objective that is left out nothing.
  std::optional<double> supervised = std::nullopt;
  std::optional<double> contrastive = std::nullopt;
  std::optional<double> distillation = std::nullopt;
  double gradient_norm = 0.0;
  std::vector<int> r = {};  // of each view
};

// A model that is being trained through the reference pass, with merging on: one step after the
// other, each a function of what came before and of its number. Nothing random outlives a step, so
// weights, moments and the step's number are all there is to keep. Not thread-safe. Throws what
// Torch throws.
class Training {
 public:
  // `teacher`: what the distillation pulls towards, at r = 0; without one, the model itself.
  // INVALID_ARGUMENT naming the option where model, teacher, labels and options do not fit.
  static absl::StatusOr<Training> Create(TrainableVit model, std::optional<TrainableVit> teacher,
                                         int labels, TrainingOptions options);

  // The next step.
  //   pixels [batch, height, width, 3] uint8, any size from which views are taken; labels [batch]
  // INTERNAL, and nothing is changed, where the loss or its gradient is not finite.
  absl::StatusOr<StepReport> Step(const at::Tensor& pixels, const at::Tensor& labels);

  int64_t steps_done() const { return steps_done_; }
  const TrainableVit& model() const { return model_; }

  // All that the next steps follow from, as the bytes of a safetensors file.
  std::string State() const;
  // Goes on where State was taken, bit for bit. INVALID_ARGUMENT where the file is of another
  // model; `path` is not named.
  absl::Status Restore(const std::string& path);

 private:
  Training(TrainableVit model, std::optional<TrainableVit> teacher, int labels,
           TrainingOptions options);

  // The tensors of State, but for the step's number; they share memory with what learns.
  std::map<std::string, at::Tensor> Learned() const;

  // Embeddings [images, D] of normalised pixels, each image at its own r.
  at::Tensor Embeddings(const ReferencePass& pass, const at::Tensor& pixels,
                        const std::vector<int>& r) const;

  TrainableVit model_;
  std::optional<TrainableVit> teacher_;
  TrainingOptions options_;
  at::Tensor label_vectors_;  // [labels, D], undefined without the supervised objective
  std::map<std::string, at::Tensor> learned_;  // the model's parameters, and label_vectors_
  Optimizer optimizer_;
  int64_t steps_done_ = 0;
};

// A seed for what one purpose draws at one time, far from those of its neighbours.
uint64_t SeedOf(uint64_t seed, uint64_t purpose, uint64_t time);

// The pictures of a step: every picture once an epoch, in an order of the epoch's own; those that
// do not fill a batch are left out of it. REQUIRES: 0 < batch <= pictures.
std::vector<int64_t> BatchOf(int64_t step, int64_t batch, int64_t pictures, uint64_t seed);

}  // namespace tome

#endif  // TOME_SERVER_LAB_TRAINING_H_
