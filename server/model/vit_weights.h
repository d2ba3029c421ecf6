#ifndef TOME_SERVER_MODEL_VIT_WEIGHTS_H_
#define TOME_SERVER_MODEL_VIT_WEIGHTS_H_

#include <ATen/core/Tensor.h>

#include <vector>

#include "server/model/linear.h"
#include "server/model/vit_tensors.h"

namespace tome {

// Weight and bias [D], float32 whatever the compute type.
struct LayerNormWeights {
  at::Tensor weight;
  at::Tensor bias;
};

// One pre-norm block: x + Attention(LN(x)), then x + MLP(LN(x)).
struct BlockWeights {
  LayerNormWeights norm1;
  Linear qkv;  // D -> 3 D: queries, keys, values, each by head
  Linear projection;
  LayerNormWeights norm2;
  Linear fc1;
  Linear fc2;
};

// One learned query attends to an image's final tokens, and an MLP follows. All float32.
struct AttentionPoolWeights {
  at::Tensor query;  // [heads, 1, d], unscaled
  Linear key_value;  // D -> 2 D
  Linear projection;
  LayerNormWeights norm;
  Linear fc1;
  Linear fc2;
};

// A ViT's weights as the pass wants them, in memory of their own. Immutable. Of parts that
// VitDescription has not nothing is loaded.
struct VitWeights {
  c10::ScalarType compute_type = c10::ScalarType::Float;
  Linear patch_embedding;         // a patch's 3 x patch x patch pixels, channel first -> D
  at::Tensor prefix;              // [prefix tokens, D] float32, position embedding added
  at::Tensor position_embedding;  // [patches, D] float32
  LayerNormWeights norm_before_blocks;
  std::vector<BlockWeights> blocks;
  LayerNormWeights final_norm;  // before or behind the pooling: VitDescription tells
  AttentionPoolWeights pool;
  Linear projection;  // of the embedding: D -> projection_dim, float32
};

// Converts and packs. REQUIRES: compute_type Float or BFloat16. Throws what Torch throws.
VitWeights LoadVitWeights(const VitTensors& tensors, c10::ScalarType compute_type);

}  // namespace tome

#endif  // TOME_SERVER_MODEL_VIT_WEIGHTS_H_
