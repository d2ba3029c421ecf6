#include "server/model/vit_weights.h"

#include <ATen/ops/from_blob.h>

#include "server/model/precision.h"

namespace tome {
namespace {

// A copy of `values` in `type`.
at::Tensor ToTensor(const std::vector<float>& values, at::IntArrayRef shape,
                    c10::ScalarType type = kFloat) {
  // from_blob wants a mutable pointer; the values are only read.
  return at::from_blob(const_cast<float*>(values.data()), shape)
      .to(type, /*non_blocking=*/false, /*copy=*/true);
}

Linear ToLinear(const LinearValues& values, c10::ScalarType type) {
  return Linear(ToTensor(values.weight, {values.outputs, values.inputs}, type),
                ToTensor(values.bias, {values.outputs}, type));
}

LayerNormWeights ToLayerNorm(const NormValues& values) {
  const int64_t dim = static_cast<int64_t>(values.weight.size());
  return {.weight = ToTensor(values.weight, {dim}), .bias = ToTensor(values.bias, {dim})};
}

}  // namespace

VitWeights LoadVitWeights(const VitTensors& tensors, c10::ScalarType compute_type) {
  const VitDescription& vit = tensors.vit();
  const auto linear = [&](LinearRole role, int block = 0) {
    return ToLinear(tensors.Linear(role, block), compute_type);
  };
  const auto head_linear = [&](LinearRole role) { return ToLinear(tensors.Linear(role), kFloat); };
  const auto norm = [&](NormRole role, int block = 0) {
    return ToLayerNorm(tensors.Norm(role, block));
  };

  VitWeights weights;
  weights.compute_type = compute_type;
  weights.patch_embedding = linear(LinearRole::kPatchEmbedding);
  weights.prefix = ToTensor(tensors.PrefixTokens(), {vit.prefix_tokens(), vit.token_dim});
  weights.position_embedding =
      ToTensor(tensors.PositionEmbedding(), {vit.patches(), vit.token_dim});
  if (vit.norm_before_blocks) weights.norm_before_blocks = norm(NormRole::kBeforeBlocks);
  for (int i = 0; i < vit.blocks; ++i) {
    weights.blocks.push_back({.norm1 = norm(NormRole::kNorm1, i),
                              .qkv = linear(LinearRole::kQkv, i),
                              .projection = linear(LinearRole::kAttentionProjection, i),
                              .norm2 = norm(NormRole::kNorm2, i),
                              .fc1 = linear(LinearRole::kFc1, i),
                              .fc2 = linear(LinearRole::kFc2, i)});
  }
  weights.final_norm = norm(NormRole::kFinal);
  if (vit.attention_pooling) {
    weights.pool = {
        .query = ToTensor(tensors.PoolQuery(), {vit.heads, 1, vit.token_dim / vit.heads}),
        .key_value = head_linear(LinearRole::kPoolKeyValue),
        .projection = head_linear(LinearRole::kPoolProjection),
        .norm = norm(NormRole::kPool),
        .fc1 = head_linear(LinearRole::kPoolFc1),
        .fc2 = head_linear(LinearRole::kPoolFc2)};
  }
  if (vit.projection_dim > 0) weights.projection = head_linear(LinearRole::kProjection);
  return weights;
}

}  // namespace tome
