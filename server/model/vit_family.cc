#include "server/model/vit_family.h"

#include <algorithm>
#include <array>

namespace tome {
namespace {

constexpr std::array<absl::string_view, 1> kNoPrefix = {""};
constexpr std::array<absl::string_view, 6> kTransformersPrefixes = {
    "", "vit.", "deit.", "dinov2.", "dinov2_with_registers.", "vision_model."};

constexpr std::array<absl::string_view, 2> kTimmUnused = {"head.", "head_dist."};
constexpr std::array<absl::string_view, 6> kTransformersUnused = {
    "classifier.", "cls_classifier.", "distillation_classifier.",
    "pooler.",     "decoder.",        "embeddings.mask_token"};
constexpr std::array<absl::string_view, 6> kTwoTowerUnused = {
    "text_model.", "text_projection.", "logit_scale",
    "logit_bias",  "classifier.",      "embeddings.position_ids"};

constexpr VitNames kTimm = {
    .prefixes = kNoPrefix,
    .patch_embedding = "patch_embed.proj",
    .class_token = "cls_token",
    .distillation_token = "dist_token",
    .register_tokens = "reg_token",
    .position_embedding = "pos_embed",
    .norm_before_blocks = "norm_pre",
    .blocks = "blocks.",
    .norm1 = "norm1",
    .qkv = "attn.qkv",
    .attention_projection = "attn.proj",
    .attention_scale = "ls1.gamma",
    .norm2 = "norm2",
    .fc1 = "mlp.fc1",
    .fc2 = "mlp.fc2",
    .mlp_scale = "ls2.gamma",
    .norm_before_pooling = "norm",
    .norm_after_pooling = "fc_norm",
    .pool_probe = "attn_pool.latent",
    .pool_query = "attn_pool.q",
    .pool_key_value = "attn_pool.kv",
    .pool_projection = "attn_pool.proj",
    .pool_norm = "attn_pool.norm",
    .pool_fc1 = "attn_pool.mlp.fc1",
    .pool_fc2 = "attn_pool.mlp.fc2",
    .projection = "head",
    .unused = kTimmUnused,
};

// transformers' ViT, DeiT and MAE.
constexpr VitNames kTransformersVit = {
    .prefixes = kTransformersPrefixes,
    .patch_embedding = "embeddings.patch_embeddings.projection",
    .class_token = "embeddings.cls_token",
    .distillation_token = "embeddings.distillation_token",
    .position_embedding = "embeddings.position_embeddings",
    .blocks = "encoder.layer.",
    .norm1 = "layernorm_before",
    .query = "attention.attention.query",
    .key = "attention.attention.key",
    .value = "attention.attention.value",
    .attention_projection = "attention.output.dense",
    .norm2 = "layernorm_after",
    .fc1 = "intermediate.dense",
    .fc2 = "output.dense",
    .norm_before_pooling = "layernorm",
    .unused = kTransformersUnused,
};

// transformers' DINOv2, with registers and without.
constexpr VitNames kTransformersDinoV2 = {
    .prefixes = kTransformersPrefixes,
    .patch_embedding = "embeddings.patch_embeddings.projection",
    .class_token = "embeddings.cls_token",
    .register_tokens = "embeddings.register_tokens",
    .position_embedding = "embeddings.position_embeddings",
    .blocks = "encoder.layer.",
    .norm1 = "norm1",
    .query = "attention.attention.query",
    .key = "attention.attention.key",
    .value = "attention.attention.value",
    .attention_projection = "attention.output.dense",
    .attention_scale = "layer_scale1.lambda1",
    .norm2 = "norm2",
    .fc1 = "mlp.fc1",
    .fc2 = "mlp.fc2",
    .gated_fc1 = "mlp.weights_in",
    .gated_fc2 = "mlp.weights_out",
    .mlp_scale = "layer_scale2.lambda1",
    .norm_before_pooling = "layernorm",
    .unused = kTransformersUnused,
};

// transformers' CLIP and SigLIP: the vision tower alone, or with the text tower beside it.
constexpr VitNames kTransformersTwoTower = {
    .prefixes = kTransformersPrefixes,
    .patch_embedding = "embeddings.patch_embedding",
    .class_token = "embeddings.class_embedding",
    .position_embedding = "embeddings.position_embedding.weight",
    .norm_before_blocks = "pre_layrnorm",
    .blocks = "encoder.layers.",
    .norm1 = "layer_norm1",
    .query = "self_attn.q_proj",
    .key = "self_attn.k_proj",
    .value = "self_attn.v_proj",
    .attention_projection = "self_attn.out_proj",
    .norm2 = "layer_norm2",
    .fc1 = "mlp.fc1",
    .fc2 = "mlp.fc2",
    .norm_before_pooling = "post_layernorm",
    .pool_probe = "head.probe",
    .pool_qkv = "head.attention.in_proj",
    .pool_projection = "head.attention.out_proj",
    .pool_norm = "head.layernorm",
    .pool_fc1 = "head.mlp.fc1",
    .pool_fc2 = "head.mlp.fc2",
    .projection = "visual_projection",
    .unused = kTwoTowerUnused,
};

constexpr auto kBicubic = PositionResampling::kBicubic;
constexpr auto kAntialiased = PositionResampling::kBicubicAntialiased;

constexpr std::array<VitFamily, 6> kTimmFamilies = {{
    {.name = "vit", .names = &kTimm, .norm_epsilon = 1e-6, .position_resampling = kAntialiased},
    {.name = "deit", .names = &kTimm, .norm_epsilon = 1e-6, .position_resampling = kAntialiased},
    {.name = "mae",
     .names = &kTimm,
     .norm_epsilon = 1e-6,
     .pooling = VitPooling::kMeanOfPatches,
     .proportional_attention = false,
     .position_resampling = kAntialiased},
    {.name = "dinov2", .names = &kTimm, .norm_epsilon = 1e-6, .position_resampling = kAntialiased},
    {.name = "clip", .names = &kTimm, .norm_epsilon = 1e-5, .position_resampling = kAntialiased},
    {.name = "siglip",
     .names = &kTimm,
     .norm_epsilon = 1e-6,
     .pooling = VitPooling::kAttention,
     .position_resampling = kAntialiased},
}};

// Epsilon and activation are what transformers takes where config.json leaves them out.
constexpr std::array<VitFamily, 9> kTransformersFamilies = {{
    {.name = "vit",
     .model_type = "vit",
     .names = &kTransformersVit,
     .norm_epsilon = 1e-12,
     .position_resampling = kBicubic},
    {.name = "deit",
     .model_type = "deit",
     .names = &kTransformersVit,
     .norm_epsilon = 1e-12,
     .position_resampling = kBicubic},
    {.name = "mae",
     .model_type = "vit_mae",
     .names = &kTransformersVit,
     .norm_epsilon = 1e-12,
     .pooling = VitPooling::kMeanOfPatches,
     .proportional_attention = false,
     .position_resampling = kBicubic},
    {.name = "dinov2",
     .model_type = "dinov2",
     .names = &kTransformersDinoV2,
     .norm_epsilon = 1e-6,
     .position_resampling = kBicubic},
    {.name = "dinov2",
     .model_type = "dinov2_with_registers",
     .names = &kTransformersDinoV2,
     .norm_epsilon = 1e-6,
     .position_resampling = kAntialiased},
    {.name = "clip",
     .model_type = "clip",
     .names = &kTransformersTwoTower,
     .norm_epsilon = 1e-5,
     .activation = VitActivation::kQuickGelu,
     .position_resampling = kBicubic},
    {.name = "clip",
     .model_type = "clip_vision_model",
     .names = &kTransformersTwoTower,
     .norm_epsilon = 1e-5,
     .activation = VitActivation::kQuickGelu,
     .position_resampling = kBicubic},
    {.name = "siglip",
     .model_type = "siglip",
     .names = &kTransformersTwoTower,
     .norm_epsilon = 1e-6,
     .activation = VitActivation::kGeluTanh,
     .pooling = VitPooling::kAttention,
     .position_resampling = kBicubic},
    {.name = "siglip",
     .model_type = "siglip_vision_model",
     .names = &kTransformersTwoTower,
     .norm_epsilon = 1e-6,
     .activation = VitActivation::kGeluTanh,
     .pooling = VitPooling::kAttention,
     .position_resampling = kBicubic},
}};

}  // namespace

const VitFamily* FindTransformersFamily(absl::string_view model_type) {
  const auto* found = std::ranges::find(kTransformersFamilies, model_type, &VitFamily::model_type);
  return found == kTransformersFamilies.end() ? nullptr : found;
}

const VitFamily* TimmFamily(absl::string_view name) {
  return std::ranges::find(kTimmFamilies, name, &VitFamily::name);
}

std::span<const VitFamily> TransformersFamilies() { return kTransformersFamilies; }

}  // namespace tome
