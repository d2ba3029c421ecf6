#include "server/model/vit_layout.h"

#include <array>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include "server/base/status.h"
#include "server/model/check_tensors.h"

namespace tome {
namespace {

using Shape = std::vector<int64_t>;

// Bounds far above any model, so that what is computed from shapes stays inside an int.
constexpr int64_t kMaxDim = 1 << 16;
constexpr int64_t kMaxRegisters = 1024;
constexpr int kMaxBlocks = 1024;

std::string Weight(absl::string_view module) { return absl::StrCat(module, ".weight"); }
std::string Bias(absl::string_view module) { return absl::StrCat(module, ".bias"); }

bool IsDim(int64_t dimension) { return dimension >= 1 && dimension <= kMaxDim; }

// Dimensions, depth, prefix tokens and optional parts, as far as shapes tell them.
absl::Status ReadShapes(const VitConfig& config, const TensorFiles& tensors, VitLayout* layout) {
  const VitNames& names = *layout->names;
  VitDescription& vit = layout->vit;
  const auto find = [&](absl::string_view name) {
    return name.empty() ? nullptr : tensors.Find(layout->Name(name));
  };

  const std::string patch_name = layout->Name(Weight(names.patch_embedding));
  const TensorView* patch = tensors.Find(patch_name);
  if (patch == nullptr) return MissingTensorError(patch_name);
  const Shape& shape = patch->shape;
  if (shape.size() != 4 || !IsDim(shape[0]) || shape[1] != 3 || shape[2] != shape[3] ||
      !IsDim(shape[2])) {
    return OddShapeError(patch_name, shape, "[dim, 3, patch, patch]");
  }
  vit.token_dim = static_cast<int>(shape[0]);
  vit.patch_size = static_cast<int>(shape[2]);
  vit.class_token = find(names.class_token) != nullptr;
  vit.distillation_token = find(names.distillation_token) != nullptr;
  if (const TensorView* registers = find(names.register_tokens); registers != nullptr) {
    const Shape& rows = registers->shape;
    if (rows.size() != 3 || rows[1] < 1 || rows[1] > kMaxRegisters) {
      return OddShapeError(layout->Name(names.register_tokens), rows, "[1, registers, dim]");
    }
    vit.register_tokens = static_cast<int>(rows[1]);
  }
  vit.norm_before_blocks = find(Weight(names.norm_before_blocks)) != nullptr;
  // A norm's bias would make that of the layer before it idle: both libraries leave it out.
  layout->patch_bias = !vit.norm_before_blocks;

  const auto in_block = [&](int block, absl::string_view name) {
    return layout->Name(absl::StrCat(names.blocks, block, ".", name));
  };
  // Blocks are numbered from 0 on without a gap; one more that stands alone is found as unexpected.
  while (vit.blocks < kMaxBlocks &&
         tensors.Find(in_block(vit.blocks, Weight(names.norm1))) != nullptr) {
    ++vit.blocks;
  }
  if (vit.blocks == 0) return MissingTensorError(in_block(0, Weight(names.norm1)));
  layout->layer_scale =
      !names.attention_scale.empty() && tensors.Find(in_block(0, names.attention_scale)) != nullptr;
  layout->gated_names =
      !names.gated_fc1.empty() && tensors.Find(in_block(0, Weight(names.gated_fc1))) != nullptr;

  const std::string fc1_name =
      in_block(0, Weight(layout->gated_names ? names.gated_fc1 : names.fc1));
  const std::string fc2_name =
      in_block(0, Weight(layout->gated_names ? names.gated_fc2 : names.fc2));
  const TensorView* fc1 = tensors.Find(fc1_name);
  const TensorView* fc2 = tensors.Find(fc2_name);
  if (fc1 == nullptr) return MissingTensorError(fc1_name);
  if (fc2 == nullptr) return MissingTensorError(fc2_name);
  if (fc1->shape.size() != 2 || !IsDim(fc1->shape[0])) {
    return OddShapeError(fc1_name, fc1->shape, "[hidden, dim]");
  }
  if (fc2->shape.size() != 2 || !IsDim(fc2->shape[1])) {
    return OddShapeError(fc2_name, fc2->shape, "[dim, hidden]");
  }
  const bool halves = fc1->shape[0] == 2 * fc2->shape[1];
  vit.mlp = layout->gated_names || halves ? VitMlp::kSwiGlu : VitMlp::kPlain;
  vit.mlp_hidden_dim = static_cast<int>(fc2->shape[1]);

  vit.norm_after_pooling = find(Weight(names.norm_after_pooling)) != nullptr;
  vit.attention_pooling = find(names.pool_probe) != nullptr;
  const TensorView* projection =
      names.projection.empty() ? nullptr : tensors.Find(Weight(names.projection));
  if (projection != nullptr && config.projects) {
    if (projection->shape.size() != 2 || !IsDim(projection->shape[0])) {
      return OddShapeError(Weight(names.projection), projection->shape, "[embedding, dim]");
    }
    vit.projection_dim = static_cast<int>(projection->shape[0]);
    layout->projection_bias = tensors.Find(Bias(names.projection)) != nullptr;
  }
  return absl::OkStatus();
}

// Splits the rows of the stored position embedding into prefix tokens and a grid.
absl::Status ReadPositions(const VitConfig& config, const TensorFiles& tensors, VitLayout* layout) {
  const VitDescription& vit = layout->vit;
  const std::string name = layout->Name(layout->names->position_embedding);
  const TensorView* positions = tensors.Find(name);
  if (positions == nullptr) return MissingTensorError(name);
  const Shape& shape = positions->shape;
  const bool plausible =
      (shape.size() == 2 || (shape.size() == 3 && shape[0] == 1)) && shape.back() == vit.token_dim;
  const std::string expected =
      absl::StrCat("[1, ", vit.prefix_tokens() + vit.patches(), ", ", vit.token_dim, "]");
  if (!plausible) return OddShapeError(name, shape, expected);
  const int64_t rows = shape[shape.size() - 2];
  layout->position_shape = shape;

  // The grid is that of the size the file names or that of the input; where it is neither, it is
  // square, as both libraries assume.
  std::vector<ImageSize> grids;
  if (config.stored_image_size.has_value()) {
    grids.push_back({config.stored_image_size->height / vit.patch_size,
                     config.stored_image_size->width / vit.patch_size});
  }
  grids.push_back({vit.grid_height, vit.grid_width});
  // Registers come without a position, or none of the prefix tokens has one.
  const std::array<int, 3> prefixes = {vit.prefix_tokens(),
                                       vit.prefix_tokens() - vit.register_tokens, 0};
  const auto accept = [&](int prefix, ImageSize grid) {
    layout->position_prefix = prefix;
    layout->position_grid_height = grid.height;
    layout->position_grid_width = grid.width;
    return absl::OkStatus();
  };
  for (const ImageSize& grid : grids) {
    for (const int prefix : prefixes) {
      if (rows == prefix + int64_t{grid.height} * grid.width) return accept(prefix, grid);
    }
  }
  for (const int prefix : prefixes) {
    const int side = static_cast<int>(std::lround(std::sqrt(static_cast<double>(rows - prefix))));
    if (side > 0 && rows - prefix == int64_t{side} * side) return accept(prefix, {side, side});
  }
  return OddShapeError(name, shape, absl::StrCat(expected, " or a square grid"));
}

absl::Status CheckPooling(const VitLayout& layout) {
  const VitDescription& vit = layout.vit;
  const auto needs = [](absl::string_view tensor, absl::string_view pooling) {
    return absl::InvalidArgumentError(
        absl::StrCat(tensor, ": this tensor is missing, and the model pools ", pooling));
  };
  switch (vit.pooling) {
    case VitPooling::kClassToken:
    case VitPooling::kMeanOfClassTokens:
      if (!vit.class_token) return needs(layout.Name(layout.names->class_token), "its class token");
      break;
    case VitPooling::kAttention:
      if (!vit.attention_pooling)
        return needs(layout.Name(layout.names->pool_probe), "by attention");
      break;
    case VitPooling::kMeanOfPatches:
      // timm's distilled DeiT reads its two prefix tokens and nothing else.
      if (vit.distillation_token) {
        return absl::InvalidArgumentError(
            absl::StrCat(layout.Name(layout.names->distillation_token),
                         ": a distilled model pools its prefix tokens, but the configuration names "
                         "the mean of the patches"));
      }
      break;
  }
  return absl::OkStatus();
}

}  // namespace

std::string VitLayout::Name(absl::string_view name) const { return absl::StrCat(prefix, name); }

std::string VitLayout::Norm(NormRole role, int block) const {
  switch (role) {
    case NormRole::kBeforeBlocks:
      return Name(names->norm_before_blocks);
    case NormRole::kNorm1:
      return Name(absl::StrCat(names->blocks, block, ".", names->norm1));
    case NormRole::kNorm2:
      return Name(absl::StrCat(names->blocks, block, ".", names->norm2));
    case NormRole::kFinal:
      return Name(vit.norm_after_pooling ? names->norm_after_pooling : names->norm_before_pooling);
    case NormRole::kPool:
      break;
  }
  return Name(names->pool_norm);
}

std::string VitLayout::Scale(LinearRole role, int block) const {
  if (!layer_scale) return "";
  if (role == LinearRole::kAttentionProjection) {
    return Name(absl::StrCat(names->blocks, block, ".", names->attention_scale));
  }
  if (role == LinearRole::kFc2) {
    return Name(absl::StrCat(names->blocks, block, ".", names->mlp_scale));
  }
  return "";
}

std::vector<StoredLinear> VitLayout::Linear(LinearRole role, int block) const {
  const int64_t dim = vit.token_dim;
  const auto module = [](const std::string& name, const Shape& shape, bool bias = true) {
    return StoredLinear{.weight = Weight(name),
                        .weight_shape = shape,
                        .bias = bias ? Bias(name) : "",
                        .rows = shape[0]};
  };
  const auto in_block = [&](absl::string_view name) {
    return Name(absl::StrCat(names->blocks, block, ".", name));
  };
  const auto packed = [&](int64_t first_row, int64_t rows) {
    return StoredLinear{.weight = absl::StrCat(Name(names->pool_qkv), "_weight"),
                        .weight_shape = {3 * dim, dim},
                        .bias = absl::StrCat(Name(names->pool_qkv), "_bias"),
                        .first_row = first_row,
                        .rows = rows};
  };
  switch (role) {
    case LinearRole::kPatchEmbedding:
      return {module(Name(names->patch_embedding), {dim, 3, vit.patch_size, vit.patch_size},
                     patch_bias)};
    case LinearRole::kQkv:
      if (!names->qkv.empty()) return {module(in_block(names->qkv), {3 * dim, dim}, qkv_bias)};
      return {module(in_block(names->query), {dim, dim}, qkv_bias),
              module(in_block(names->key), {dim, dim}, qkv_bias),
              module(in_block(names->value), {dim, dim}, qkv_bias)};
    case LinearRole::kAttentionProjection:
      return {module(in_block(names->attention_projection), {dim, dim}, attention_projection_bias)};
    case LinearRole::kFc1:
      return {module(in_block(gated_names ? names->gated_fc1 : names->fc1), {vit.fc1_dim(), dim})};
    case LinearRole::kFc2:
      return {
          module(in_block(gated_names ? names->gated_fc2 : names->fc2), {dim, vit.mlp_hidden_dim})};
    case LinearRole::kPoolQuery:
      if (!names->pool_qkv.empty()) return {packed(0, dim)};
      return {module(Name(names->pool_query), {dim, dim})};
    case LinearRole::kPoolKeyValue:
      if (!names->pool_qkv.empty()) return {packed(dim, 2 * dim)};
      return {module(Name(names->pool_key_value), {2 * dim, dim})};
    case LinearRole::kPoolProjection:
      return {module(Name(names->pool_projection), {dim, dim})};
    case LinearRole::kPoolFc1:
      return {module(Name(names->pool_fc1), {vit.mlp_hidden_dim, dim})};
    case LinearRole::kPoolFc2:
      return {module(Name(names->pool_fc2), {dim, vit.mlp_hidden_dim})};
    case LinearRole::kProjection:
      break;
  }
  // The projection belongs to no tower.
  return {module(std::string(names->projection), {vit.projection_dim, dim}, projection_bias)};
}

absl::StatusOr<VitLayout> LayOutVit(const VitConfig& config, const TensorFiles& tensors) {
  VitLayout layout;
  layout.names = config.family->names;
  for (const absl::string_view prefix : layout.names->prefixes) {
    layout.prefix = std::string(prefix);
    if (tensors.Find(layout.Name(Weight(layout.names->patch_embedding))) != nullptr) break;
    layout.prefix.clear();
  }
  layout.qkv_bias = config.qkv_bias;
  layout.attention_projection_bias = config.attention_projection_bias;
  layout.position_resampling = config.family->position_resampling;
  VitDescription& vit = layout.vit;
  vit.architecture = config.architecture;
  vit.family = std::string(config.family->name);
  vit.heads = config.heads;
  vit.activation = config.activation;
  vit.pooling = config.pooling;
  vit.norm_epsilon = config.norm_epsilon;
  vit.proportional_attention = config.proportional_attention;
  vit.preprocessing = config.preprocessing;
  TOME_RETURN_IF_ERROR(ReadShapes(config, tensors, &layout));

  if (config.blocks.has_value() && *config.blocks != vit.blocks) {
    return absl::InvalidArgumentError(absl::StrCat(config.blocks_key, ": ", *config.blocks,
                                                   ", but the tensors are of ", vit.blocks,
                                                   " blocks"));
  }
  if (vit.token_dim % vit.heads != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        config.heads_key, ": ", vit.heads, " does not divide the token dimension ", vit.token_dim));
  }
  // What is left of the input beyond the last whole patch is not seen, as in both libraries.
  vit.grid_height = vit.preprocessing.crop_height / vit.patch_size;
  vit.grid_width = vit.preprocessing.crop_width / vit.patch_size;
  if (vit.grid_height < 1 || vit.grid_width < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(config.input_size_key, ": ", vit.preprocessing.crop_height, " x ",
                     vit.preprocessing.crop_width, " is less than one patch of ", vit.patch_size));
  }
  // A distilled model's two class tokens count the same, in both libraries' classifiers.
  if (vit.distillation_token && vit.pooling == VitPooling::kClassToken) {
    vit.pooling = VitPooling::kMeanOfClassTokens;
  }
  TOME_RETURN_IF_ERROR(ReadPositions(config, tensors, &layout));
  TOME_RETURN_IF_ERROR(CheckPooling(layout));
  TOME_RETURN_IF_ERROR(CheckTensors(layout, tensors));
  return layout;
}

}  // namespace tome
