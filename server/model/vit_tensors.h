#ifndef TOME_SERVER_MODEL_VIT_TENSORS_H_
#define TOME_SERVER_MODEL_VIT_TENSORS_H_

#include <vector>

#include "absl/status/statusor.h"

#include "server/model/tensor_files.h"
#include "server/model/vit_config.h"
#include "server/model/vit_description.h"
#include "server/model/vit_layout.h"

namespace tome {

// y = x W^T + b. Row-major.
struct LinearValues {
  int outputs = 0;
  int inputs = 0;
  std::vector<float> weight;  // [outputs, inputs]
  std::vector<float> bias;    // [outputs]; zeros where the checkpoint has none
};

struct NormValues {
  std::vector<float> weight;  // [D]
  std::vector<float> bias;    // [D]
};

// The weights of a vision transformer as float32 in one layout, whichever library and family they
// come from: what each engine loads. A call reads one layer from the mapped files, so a model is
// never whole in memory twice. Immutable, thread-safe.
class VitTensors {
 public:
  // As LayOutVit.
  static absl::StatusOr<VitTensors> Open(const VitConfig& config, TensorFiles files);

  const VitDescription& vit() const { return layout_.vit; }
  const VitLayout& layout() const { return layout_; }
  const TensorFiles& files() const { return files_; }

  //   kPatchEmbedding       [D, 3 * patch * patch]  a patch's pixels: channel, row, column
  //   kQkv                  [3 D, D]                queries, keys, values, each by head
  //   kAttentionProjection  [D, D]                  times LayerScale
  //   kFc1                  [fc1_dim, D]            SwiGLU: gate, then up
  //   kFc2                  [D, mlp_hidden_dim]     times LayerScale
  //   kPoolKeyValue         [2 D, D]                keys, values, each by head
  //   kPoolProjection       [D, D]
  //   kPoolFc1, kPoolFc2    [mlp_hidden_dim, D], [D, mlp_hidden_dim]
  //   kProjection           [projection_dim, D]
  // The queries come unscaled. REQUIRES: vit() has the part, and the block if it is of a block.
  LinearValues Linear(LinearRole role, int block = 0) const;
  NormValues Norm(NormRole role, int block = 0) const;

  // [prefix tokens, D], their position embedding added.
  std::vector<float> PrefixTokens() const;
  // [patches, D], of the input's grid.
  std::vector<float> PositionEmbedding() const;
  // [D], the same for every image: the probe's query, by head, unscaled.
  // REQUIRES: vit().attention_pooling.
  std::vector<float> PoolQuery() const;

 private:
  VitTensors(VitLayout layout, TensorFiles files);

  // All numbers of a tensor.
  std::vector<float> Values(const std::string& name) const;
  // [rows, D], rows of prefix tokens first.
  std::vector<float> StoredPositions() const;

  VitLayout layout_;
  TensorFiles files_;
};

}  // namespace tome

#endif  // TOME_SERVER_MODEL_VIT_TENSORS_H_
