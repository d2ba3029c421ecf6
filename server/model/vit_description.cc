#include "server/model/vit_description.h"

#include <array>
#include <cstdint>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

#include "server/base/status.h"

namespace tome {
namespace {

using Shape = std::vector<int64_t>;

// Bounds far above any model, so that what is computed from shapes stays inside an int.
constexpr int64_t kMaxDim = 1 << 16;
constexpr int kMaxBlocks = 1024;

// timm's ViT and DeiT by size. All of them are pre-norm with exact GELU and a LayerNorm epsilon of
// 1e-6; variants whose name says more (clip, siglip, quickgelu, gap, ...) differ in ways that
// shapes do not show, so only the plain names below are taken.
struct Family {
  absl::string_view stem;
  int heads;
};
constexpr std::array<Family, 10> kFamilies = {{
    {"vit_tiny_", 3},
    {"vit_small_", 6},
    {"vit_base_", 12},
    {"vit_large_", 16},
    {"vit_huge_", 16},
    {"vit_giant_", 16},
    {"vit_gigantic_", 16},
    {"deit_tiny_", 3},
    {"deit_small_", 6},
    {"deit_base_", 12},
}};
constexpr double kNormEpsilon = 1e-6;

bool ConsumeDigits(absl::string_view* text) {
  const size_t before = text->size();
  while (!text->empty() && text->front() >= '0' && text->front() <= '9') text->remove_prefix(1);
  return text->size() < before;
}

// The family of "<stem>[distilled_]patch<digits>_<digits>", or nullptr.
const Family* FindFamily(absl::string_view architecture) {
  for (const Family& family : kFamilies) {
    absl::string_view rest = architecture;
    if (!absl::ConsumePrefix(&rest, family.stem)) continue;
    absl::ConsumePrefix(&rest, "distilled_");
    const bool plain = absl::ConsumePrefix(&rest, "patch") && ConsumeDigits(&rest) &&
                       absl::ConsumePrefix(&rest, "_") && ConsumeDigits(&rest) && rest.empty();
    if (plain) return &family;
  }
  return nullptr;
}

std::string Text(const Shape& shape) { return absl::StrCat("[", absl::StrJoin(shape, ", "), "]"); }

absl::Status Missing(absl::string_view name) {
  return absl::InvalidArgumentError(absl::StrCat(name, ": this tensor is missing"));
}

absl::Status OddShape(absl::string_view name, const Shape& shape, absl::string_view expected) {
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": shape ", Text(shape), ", expected ", expected));
}

// Ticks off tensors, so that what is left at the end is what the pass would ignore.
class TensorCheck {
 public:
  explicit TensorCheck(const SafetensorsFile& tensors) : tensors_(tensors) {}

  absl::Status Expect(const std::string& name, const Shape& shape) {
    const TensorView* tensor = tensors_.Find(name);
    if (tensor == nullptr) return Missing(name);
    if (tensor->shape != shape) return OddShape(name, tensor->shape, Text(shape));
    const bool floating = tensor->type == TensorType::kFloat32 ||
                          tensor->type == TensorType::kFloat16 ||
                          tensor->type == TensorType::kBFloat16;
    if (!floating) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": dtype ", TensorTypeName(tensor->type),
                                                     ", expected F32, F16 or BF16"));
    }
    expected_.insert(name);
    return absl::OkStatus();
  }

  // <module>.weight [outputs, inputs] and <module>.bias [outputs].
  absl::Status ExpectLinear(const std::string& module, int64_t outputs, int64_t inputs) {
    TOME_RETURN_IF_ERROR(Expect(module + ".weight", {outputs, inputs}));
    return Expect(module + ".bias", {outputs});
  }

  absl::Status ExpectNorm(const std::string& module, int64_t dim) {
    TOME_RETURN_IF_ERROR(Expect(module + ".weight", {dim}));
    return Expect(module + ".bias", {dim});
  }

  absl::Status NothingElse() const {
    for (const std::string& name : tensors_.names()) {
      const bool classifier =
          absl::StartsWith(name, "head.") || absl::StartsWith(name, "head_dist.");
      if (!classifier && !expected_.contains(name)) {
        return absl::InvalidArgumentError(
            absl::StrCat(name,
                         ": a plain ViT or DeiT has no such tensor; the model does something "
                         "that this server does not support"));
      }
    }
    return absl::OkStatus();
  }

 private:
  const SafetensorsFile& tensors_;
  std::set<std::string> expected_;
};

// Blocks numbered from 0 on without a gap; one more that stands alone is found by NothingElse.
int CountBlocks(const SafetensorsFile& tensors) {
  int blocks = 0;
  while (blocks < kMaxBlocks &&
         tensors.Find(absl::StrCat("blocks.", blocks, ".norm1.weight")) != nullptr) {
    ++blocks;
  }
  return blocks;
}

absl::Status CheckTensors(const VitDescription& vit, const SafetensorsFile& tensors) {
  const int64_t dim = vit.token_dim;
  TensorCheck check(tensors);
  TOME_RETURN_IF_ERROR(
      check.Expect("patch_embed.proj.weight", {dim, 3, vit.patch_size, vit.patch_size}));
  TOME_RETURN_IF_ERROR(check.Expect("patch_embed.proj.bias", {dim}));
  if (vit.class_token) TOME_RETURN_IF_ERROR(check.Expect("cls_token", {1, 1, dim}));
  if (vit.distillation_token) TOME_RETURN_IF_ERROR(check.Expect("dist_token", {1, 1, dim}));
  TOME_RETURN_IF_ERROR(check.Expect("pos_embed", {1, vit.tokens(), dim}));
  for (int i = 0; i < vit.blocks; ++i) {
    const std::string block = absl::StrCat("blocks.", i, ".");
    TOME_RETURN_IF_ERROR(check.ExpectNorm(block + "norm1", dim));
    TOME_RETURN_IF_ERROR(check.ExpectLinear(block + "attn.qkv", 3 * dim, dim));
    TOME_RETURN_IF_ERROR(check.ExpectLinear(block + "attn.proj", dim, dim));
    TOME_RETURN_IF_ERROR(check.ExpectNorm(block + "norm2", dim));
    TOME_RETURN_IF_ERROR(check.ExpectLinear(block + "mlp.fc1", vit.mlp_hidden_dim, dim));
    TOME_RETURN_IF_ERROR(check.ExpectLinear(block + "mlp.fc2", dim, vit.mlp_hidden_dim));
  }
  TOME_RETURN_IF_ERROR(check.ExpectNorm(vit.norm_after_pooling ? "fc_norm" : "norm", dim));
  return check.NothingElse();
}

// Class or distillation token, grid, dimensions and depth, as far as shapes tell them.
absl::Status ReadShapes(const SafetensorsFile& tensors, VitDescription* vit) {
  const TensorView* patch = tensors.Find("patch_embed.proj.weight");
  if (patch == nullptr) return Missing("patch_embed.proj.weight");
  const Shape& shape = patch->shape;
  const bool plausible = shape.size() == 4 && shape[0] >= 1 && shape[0] <= kMaxDim &&
                         shape[1] == 3 && shape[2] == shape[3] && shape[2] >= 1 &&
                         shape[2] <= kMaxDim;
  if (!plausible) return OddShape("patch_embed.proj.weight", shape, "[dim, 3, patch, patch]");
  vit->token_dim = static_cast<int>(shape[0]);
  vit->patch_size = static_cast<int>(shape[2]);

  const TensorView* hidden = tensors.Find("blocks.0.mlp.fc1.weight");
  if (hidden == nullptr) return Missing("blocks.0.mlp.fc1.weight");
  if (hidden->shape.size() != 2 || hidden->shape[0] < 1 || hidden->shape[0] > kMaxDim) {
    return OddShape("blocks.0.mlp.fc1.weight", hidden->shape, "[hidden, dim]");
  }
  vit->mlp_hidden_dim = static_cast<int>(hidden->shape[0]);

  vit->blocks = CountBlocks(tensors);
  if (vit->blocks == 0) return Missing("blocks.0.norm1.weight");
  vit->class_token = tensors.Find("cls_token") != nullptr;
  vit->distillation_token = tensors.Find("dist_token") != nullptr;
  vit->norm_after_pooling = tensors.Find("fc_norm.weight") != nullptr;
  return absl::OkStatus();
}

absl::Status ChoosePooling(const TimmConfig& config, VitDescription* vit) {
  if (config.global_pool == "avg") {
    // timm's distilled DeiT reads its two prefix tokens and nothing else.
    if (vit->distillation_token) {
      return absl::InvalidArgumentError(
          "dist_token: a distilled model pools its prefix tokens, but global_pool is \"avg\"");
    }
    vit->pooling = VitPooling::kMeanOfPatches;
    return absl::OkStatus();
  }
  if (!vit->class_token) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cls_token: this tensor is missing, but global_pool is \"", config.global_pool, "\""));
  }
  vit->pooling = vit->distillation_token ? VitPooling::kMeanOfClassTokens : VitPooling::kClassToken;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<VitDescription> DescribeVit(const TimmConfig& config,
                                           const SafetensorsFile& tensors) {
  const Family* family = FindFamily(config.architecture);
  if (family == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("architecture: \"", config.architecture,
                     "\" is not supported; supported: timm's plain vit_* and deit_*, such as "
                     "vit_small_patch16_224 and deit_tiny_distilled_patch16_224"));
  }
  VitDescription vit;
  vit.architecture = config.architecture;
  vit.preprocessing = config.preprocessing;
  vit.norm_epsilon = kNormEpsilon;
  // The authors run MAE checkpoints that were not trained with merging without it.
  vit.proportional_attention = config.pretrained_tag != "mae";
  TOME_RETURN_IF_ERROR(ReadShapes(tensors, &vit));

  vit.heads = config.num_heads.value_or(family->heads);
  if (vit.token_dim % vit.heads != 0) {
    return absl::InvalidArgumentError(absl::StrCat("model_args.num_heads: ", vit.heads,
                                                   " does not divide the token dimension ",
                                                   vit.token_dim));
  }
  const int height = vit.preprocessing.crop_height;
  const int width = vit.preprocessing.crop_width;
  if (height % vit.patch_size != 0 || width % vit.patch_size != 0) {
    return absl::InvalidArgumentError(absl::StrCat("pretrained_cfg.input_size: ", height, " x ",
                                                   width, " is not a multiple of the patch size ",
                                                   vit.patch_size));
  }
  vit.grid_height = height / vit.patch_size;
  vit.grid_width = width / vit.patch_size;
  TOME_RETURN_IF_ERROR(CheckTensors(vit, tensors));
  TOME_RETURN_IF_ERROR(ChoosePooling(config, &vit));
  return vit;
}

}  // namespace tome
