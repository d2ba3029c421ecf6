#ifndef TOME_SERVER_MODEL_VIT_LAYOUT_H_
#define TOME_SERVER_MODEL_VIT_LAYOUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/model/tensor_files.h"
#include "server/model/vit_config.h"
#include "server/model/vit_description.h"

namespace tome {

// The linear layers of a vision transformer, by what they do.
enum class LinearRole {
  kPatchEmbedding,
  kQkv,  // of a block, as the next three
  kAttentionProjection,
  kFc1,
  kFc2,
  kPoolQuery,  // of the attention pooling, as the next four
  kPoolKeyValue,
  kPoolProjection,
  kPoolFc1,
  kPoolFc2,
  kProjection,  // of the embedding
};

// Its layer norms.
enum class NormRole {
  kBeforeBlocks,
  kNorm1,  // of a block
  kNorm2,
  kFinal,  // before or behind the pooling
  kPool,   // of the attention pooling
};

// Rows [first_row, first_row + rows) of a stored weight [.., inputs], and as many numbers of a
// bias.
struct StoredLinear {
  std::string weight;
  std::vector<int64_t> weight_shape;
  std::string bias = {};  // empty: the layer has none
  int64_t first_row = 0;
  int64_t rows = 0;
};

// Which tensors of a checkpoint make which part of the model.
struct VitLayout {
  // What stands where: one entry a stored tensor, or part of one, in the order of the layer's rows.
  std::vector<StoredLinear> Linear(LinearRole role, int block = 0) const;
  // The norm's module: <module>.weight and <module>.bias, each [D].
  std::string Norm(NormRole role, int block = 0) const;
  // LayerScale [D] of the layer's outputs; empty: it has none.
  std::string Scale(LinearRole role, int block = 0) const;
  // A name of the table, with the prefix.
  std::string Name(absl::string_view name) const;

  VitDescription vit;
  const VitNames* names = nullptr;
  std::string prefix;
  bool gated_names = false;  // names->gated_fc1 and gated_fc2
  bool layer_scale = false;
  bool patch_bias = true;
  bool qkv_bias = true;
  bool attention_projection_bias = true;
  bool projection_bias = false;
  // The stored position embedding: rows of prefix tokens, then a grid.
  std::vector<int64_t> position_shape;
  int position_prefix = 0;
  int position_grid_height = 0;
  int position_grid_width = 0;
  PositionResampling position_resampling = PositionResampling::kBicubic;
};

// Takes from the tensors' shapes what they tell and from `config` what they do not, and checks that
// every tensor is there with the right shape and a floating-point type, and that none is there that
// the pass would leave out. INVALID_ARGUMENT names the missing or odd tensor, or the key of the
// configuration.
absl::StatusOr<VitLayout> LayOutVit(const VitConfig& config, const TensorFiles& tensors);

}  // namespace tome

#endif  // TOME_SERVER_MODEL_VIT_LAYOUT_H_
