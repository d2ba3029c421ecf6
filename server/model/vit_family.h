#ifndef TOME_SERVER_MODEL_VIT_FAMILY_H_
#define TOME_SERVER_MODEL_VIT_FAMILY_H_

#include <span>

#include "absl/strings/string_view.h"

#include "server/model/vit_description.h"

namespace tome {

// What a library calls the parts of a vision transformer. A linear layer, convolution or norm is
// named by its module: its tensors are <module>.weight and <module>.bias. Empty: no such part.
struct VitNames {
  // One of them stands in front of every name but the projection's; a checkpoint of the bare tower
  // has none.
  std::span<const absl::string_view> prefixes = {};
  absl::string_view patch_embedding = {};
  absl::string_view class_token = {};
  absl::string_view distillation_token = {};
  absl::string_view register_tokens = {};
  absl::string_view position_embedding = {};
  absl::string_view norm_before_blocks = {};
  absl::string_view blocks = {};  // with the block's number and a dot in front of the following
  absl::string_view norm1 = {};
  absl::string_view qkv = {};  // one module, or three
  absl::string_view query = {};
  absl::string_view key = {};
  absl::string_view value = {};
  absl::string_view attention_projection = {};
  absl::string_view attention_scale = {};  // LayerScale, a tensor [D]
  absl::string_view norm2 = {};
  absl::string_view fc1 = {};
  absl::string_view fc2 = {};
  absl::string_view gated_fc1 = {};  // SwiGLU, where its modules have names of their own
  absl::string_view gated_fc2 = {};
  absl::string_view mlp_scale = {};
  absl::string_view norm_before_pooling = {};
  absl::string_view norm_after_pooling = {};
  // Attention pooling. Queries, keys and values are two modules, or the two packed tensors
  // <pool_qkv>_weight and <pool_qkv>_bias.
  absl::string_view pool_probe = {};
  absl::string_view pool_query = {};
  absl::string_view pool_key_value = {};
  absl::string_view pool_qkv = {};
  absl::string_view pool_projection = {};
  absl::string_view pool_norm = {};
  absl::string_view pool_fc1 = {};
  absl::string_view pool_fc2 = {};
  absl::string_view projection = {};
  // Beginnings of names, with or without the prefix, of what no embedding needs: classifiers,
  // poolers of another kind, decoders, text towers.
  std::span<const absl::string_view> unused = {};
};

// How a position embedding reaches another grid than it was stored for.
enum class PositionResampling { kBicubic, kBicubicAntialiased };

// A family as one library writes it: all that is known of it beyond a checkpoint's own files.
struct VitFamily {
  absl::string_view name = {};        // VitDescription::family
  absl::string_view model_type = {};  // transformers' word for it; empty: timm
  const VitNames* names = nullptr;
  double norm_epsilon = 0.0;
  VitActivation activation = VitActivation::kGelu;
  VitPooling pooling = VitPooling::kClassToken;
  // The authors run MAE checkpoints that were not trained with merging without it (ToMe, section
  // 5).
  bool proportional_attention = true;
  PositionResampling position_resampling = PositionResampling::kBicubic;
};

// nullptr where no family of transformers has this model_type.
const VitFamily* FindTransformersFamily(absl::string_view model_type);
// By VitFamily::name. REQUIRES: timm has the family.
const VitFamily* TimmFamily(absl::string_view name);

// The model_type of every family of transformers, sorted as the table is.
std::span<const VitFamily> TransformersFamilies();

}  // namespace tome

#endif  // TOME_SERVER_MODEL_VIT_FAMILY_H_
