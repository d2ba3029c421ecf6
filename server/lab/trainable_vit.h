#ifndef TOME_SERVER_LAB_TRAINABLE_VIT_H_
#define TOME_SERVER_LAB_TRAINABLE_VIT_H_

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/lab/safetensors_writer.h"
#include "server/model/checkpoint.h"
#include "server/model/vit_weights.h"

namespace tome {

// A checkpoint whose tensors are learned: float32 parameters under the checkpoint's own names and
// in its own shapes, so that what is saved loads wherever the checkpoint did. Not thread-safe.
class TrainableVit {
 public:
  // As OpenCheckpoint; parameters on `device`. Whatever Torch throws, it throws.
  static absl::StatusOr<TrainableVit> Open(const std::string& directory, at::Device device);

  const VitDescription& vit() const { return checkpoint_.vit(); }

  // By name: every tensor that the pass reads, a leaf that gathers gradients. Optimisers change the
  // values in place.
  const std::map<std::string, at::Tensor>& parameters() const { return parameters_; }

  // The pass's weights as functions of the parameters: what VitTensors and LoadVitWeights compute,
  // with gradients. Valid until a parameter changes.
  VitWeights Weights(c10::ScalarType compute_type);

  // Writes a checkpoint into the directory: the parameters as `stored`, every other tensor of the
  // source as it was, and the source's JSON files. Each file is replaced at once.
  absl::Status Save(const std::string& directory, StoredFloat stored) const;

 private:
  TrainableVit(Checkpoint checkpoint, std::string directory, at::Device device);

  // The parameter of that name; read from the files the first time.
  const at::Tensor& Parameter(const std::string& name);

  Linear LinearOf(LinearRole role, int block, c10::ScalarType type);
  LayerNormWeights NormOf(NormRole role, int block);
  at::Tensor PrefixTokens();
  at::Tensor PositionEmbedding();
  // weight [outputs, inputs] and bias [outputs], LayerScale applied.
  std::pair<at::Tensor, at::Tensor> WeightAndBias(LinearRole role, int block);

  Checkpoint checkpoint_;
  std::string directory_;
  at::Device device_;
  std::map<std::string, at::Tensor> parameters_;
  at::Tensor position_resampling_;  // [patches, stored patches]; undefined: they are the same
};

}  // namespace tome

#endif  // TOME_SERVER_LAB_TRAINABLE_VIT_H_
