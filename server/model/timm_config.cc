#include "server/model/timm_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "server/base/status.h"
#include "server/model/json_fields.h"
#include "server/model/timm_architecture.h"

namespace tome {
namespace {

constexpr int kMaxBlocks = 1024;
constexpr std::array<double, 3> kImagenetMean = {0.485, 0.456, 0.406};

struct Interpolation {
  absl::string_view name;
  Preprocessing::Interpolation value;
};
constexpr std::array<Interpolation, 6> kInterpolations = {{
    {"nearest", Preprocessing::Interpolation::kNearest},
    {"box", Preprocessing::Interpolation::kBox},
    {"bilinear", Preprocessing::Interpolation::kBilinear},
    {"hamming", Preprocessing::Interpolation::kHamming},
    {"bicubic", Preprocessing::Interpolation::kBicubic},
    {"lanczos", Preprocessing::Interpolation::kLanczos},
}};

constexpr char kPretrained[] = "pretrained_cfg.";
constexpr char kModelArgs[] = "model_args.";
// timm's DEFAULT_CROP_PCT, used where a checkpoint names none.
constexpr double kDefaultCropPct = 0.875;

// Arguments of timm's VisionTransformer that this reader may pass over: either the tensors show
// what they did, or they act in training only, or they size the classifier.
constexpr auto kShownByTensorsOrIdle = std::to_array<absl::string_view>({
    "attn_drop_rate",   "class_token", "depth",       "drop_path_rate",  "drop_rate",
    "dynamic_img_size", "embed_dim",   "fc_norm",     "final_norm",      "fix_init",
    "img_size",         "in_chans",    "init_values", "mlp_ratio",       "no_embed_class",
    "num_classes",      "num_heads",   "global_pool", "patch_drop_rate", "patch_size",
    "pos_drop_rate",    "pre_norm",    "proj_bias",   "proj_drop_rate",  "qk_norm",
    "qkv_bias",         "act_layer",   "reg_tokens",  "scale_attn_norm", "scale_mlp_norm",
    "strict_img_size",  "weight_init",
});

// [3, height, width].
absl::StatusOr<ImageSize> InputSize(const Json& value, absl::string_view key) {
  if (!value.is_array() || value.size() != 3) return WrongField(key, value, "[3, height, width]");
  if (!IsWithin(value[0], 3, 3)) return UnsupportedField(key, value, "3 channels");
  return ToImageSize(Json::array({value[1], value[2]}), key);
}

// timm's evaluation transform of data/transforms_factory.py.
absl::StatusOr<Preprocessing> EvalTransform(const Json& pretrained, ImageSize input) {
  Preprocessing result;
  result.crop_height = input.height;
  result.crop_width = input.width;
  result.crop_offset = Preprocessing::CropOffset::kHalfToEven;

  TOME_ASSIGN_OR_RETURN(const std::string interpolation,
                        TextField(pretrained, "interpolation", kPretrained, "bicubic"));
  const auto* named = std::ranges::find(kInterpolations, interpolation, &Interpolation::name);
  if (named == kInterpolations.end()) {
    return UnsupportedField("pretrained_cfg.interpolation", interpolation,
                            "\"nearest\", \"box\", \"bilinear\", \"hamming\", \"bicubic\", "
                            "\"lanczos\"");
  }
  result.interpolation = named->value;

  double crop_pct = kDefaultCropPct;
  if (const Json* value = FindField(pretrained, "crop_pct"); value != nullptr) {
    const bool valid = value->is_number() && value->get<double>() > 0.0 &&
                       input.height / value->get<double>() <= kMaxImageSide &&
                       input.width / value->get<double>() <= kMaxImageSide;
    if (!valid) {
      return WrongField(
          "pretrained_cfg.crop_pct", *value,
          absl::StrCat("a number above 0 that resizes to at most ", kMaxImageSide, " a side"));
    }
    crop_pct = value->get<double>();
  }
  result.resize_height = static_cast<int>(std::floor(input.height / crop_pct));
  result.resize_width = static_cast<int>(std::floor(input.width / crop_pct));
  if (result.resize_height < 1 || result.resize_width < 1) {
    return WrongField("pretrained_cfg.crop_pct", crop_pct,
                      "a number that resizes to 1 pixel or more");
  }

  TOME_ASSIGN_OR_RETURN(const std::string crop_mode,
                        TextField(pretrained, "crop_mode", kPretrained, "center"));
  if (crop_mode == "center") {
    result.resize = result.resize_height == result.resize_width
                        ? Preprocessing::Resize::kShortestEdge
                        : Preprocessing::Resize::kCover;
  } else if (crop_mode == "squash") {
    result.resize = Preprocessing::Resize::kExact;
  } else if (crop_mode == "border") {
    result.resize = Preprocessing::Resize::kFit;
  } else {
    return UnsupportedField("pretrained_cfg.crop_mode", crop_mode,
                            "\"center\", \"squash\", \"border\"");
  }

  // Without them timm's IMAGENET_DEFAULT_MEAN and _STD.
  TOME_ASSIGN_OR_RETURN(result.mean, ChannelsField(pretrained, "mean", kPretrained,
                                                   {0.485f, 0.456f, 0.406f}, /*positive=*/false));
  TOME_ASSIGN_OR_RETURN(result.std, ChannelsField(pretrained, "std", kPretrained,
                                                  {0.229f, 0.224f, 0.225f}, /*positive=*/true));
  if (result.resize == Preprocessing::Resize::kFit) {
    for (size_t i = 0; i < result.fill.size(); ++i) {
      // Halves to even, as Python rounds; the mean is timm's double.
      const Json* means = FindField(pretrained, "mean");
      const double mean = means == nullptr ? kImagenetMean[i] : (*means)[i].get<double>();
      result.fill[i] = static_cast<uint8_t>(std::clamp(std::nearbyint(255.0 * mean), 0.0, 255.0));
    }
  }
  return result;
}

// Refuses each argument that changes the computation in a way the tensors do not show.
absl::Status CheckModelArgs(const Json& model_args) {
  for (const auto& [key, value] : model_args.items()) {
    if (value.is_null()) continue;
    const std::string name = absl::StrCat(kModelArgs, key);
    if (key == "norm_layer") {
      if (value != "layernorm") return UnsupportedField(name, value, "\"layernorm\"");
    } else if (key == "pos_embed") {
      if (value != "learn") return UnsupportedField(name, value, "\"learn\"");
    } else if (key == "pool_include_prefix" || key == "dynamic_img_pad") {
      if (value != false) return UnsupportedField(name, value, "false");
    } else if (std::ranges::find(kShownByTensorsOrIdle, absl::string_view(key)) ==
               kShownByTensorsOrIdle.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": ", ShownValue(value), ": this argument is not supported"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<VitActivation> Activation(const Json& model_args, VitActivation fallback) {
  const Json* value = FindField(model_args, "act_layer");
  if (value == nullptr) return fallback;
  if (*value == "gelu") return VitActivation::kGelu;
  if (*value == "gelu_tanh") return VitActivation::kGeluTanh;
  if (*value == "quick_gelu") return VitActivation::kQuickGelu;
  return UnsupportedField("model_args.act_layer", *value,
                          "\"gelu\", \"gelu_tanh\", \"quick_gelu\"");
}

absl::StatusOr<VitPooling> Pooling(const Json& root, const Json& model_args, VitPooling fallback) {
  const Json* value = FindField(model_args, "global_pool");
  if (value == nullptr) value = FindField(root, "global_pool");
  if (value == nullptr) return fallback;
  if (*value == "token") return VitPooling::kClassToken;
  if (*value == "avg") return VitPooling::kMeanOfPatches;
  if (*value == "map") return VitPooling::kAttention;
  return UnsupportedField("global_pool", *value, "\"token\", \"avg\", \"map\"");
}

}  // namespace

absl::StatusOr<VitConfig> ReadTimmConfig(absl::string_view text) {
  TOME_ASSIGN_OR_RETURN(const Json root, ParseJsonObject(text));
  const Json* pretrained = FindField(root, "pretrained_cfg");
  if (pretrained == nullptr) return absl::InvalidArgumentError("pretrained_cfg: missing");
  if (!pretrained->is_object()) return WrongField("pretrained_cfg", *pretrained, "an object");
  const Json no_args = Json::object();
  const Json* model_args = FindField(root, "model_args");
  if (model_args == nullptr) model_args = &no_args;
  if (!model_args->is_object()) return WrongField("model_args", *model_args, "an object");
  TOME_RETURN_IF_ERROR(CheckModelArgs(*model_args));

  VitConfig config;
  TOME_ASSIGN_OR_RETURN(config.architecture, TextField(root, "architecture", "", ""));
  if (config.architecture.empty()) return absl::InvalidArgumentError("architecture: missing");
  const std::optional<TimmArchitecture> known = FindTimmArchitecture(config.architecture);
  if (!known.has_value()) {
    return UnsupportedField("architecture", config.architecture,
                            "timm's vit, deit and deit3 by size and patch, such as "
                            "vit_small_patch16_224, deit_tiny_distilled_patch16_224, "
                            "vit_base_patch14_reg4_dinov2, vit_base_patch32_clip_quickgelu_224, "
                            "vit_base_patch16_siglip_224");
  }
  TOME_ASSIGN_OR_RETURN(const std::string tag, TextField(*pretrained, "tag", kPretrained, ""));
  const bool mae = tag == "mae";
  config.family = mae ? TimmFamily("mae") : known->family;
  config.norm_epsilon = config.family->norm_epsilon;
  config.proportional_attention = config.family->proportional_attention;
  config.heads_key = "model_args.num_heads";
  TOME_ASSIGN_OR_RETURN(config.heads,
                        IntField(*model_args, "num_heads", kModelArgs, 1, kMaxHeads, known->heads));
  config.blocks_key = "model_args.depth";
  TOME_ASSIGN_OR_RETURN(const int depth,
                        IntField(*model_args, "depth", kModelArgs, 1, kMaxBlocks, 0));
  if (depth > 0) config.blocks = depth;
  TOME_ASSIGN_OR_RETURN(config.activation, Activation(*model_args, known->activation));
  TOME_ASSIGN_OR_RETURN(config.pooling, Pooling(root, *model_args, known->pooling));
  // timm has MAE's encoders pool their class token, which was never trained to say anything.
  if (mae) config.pooling = config.family->pooling;
  TOME_ASSIGN_OR_RETURN(config.qkv_bias, BoolField(*model_args, "qkv_bias", kModelArgs, true));
  TOME_ASSIGN_OR_RETURN(config.attention_projection_bias,
                        BoolField(*model_args, "proj_bias", kModelArgs, true));
  // Of a CLIP fine-tuned on labels ("laion2b_ft_in1k") the head is a classifier.
  config.projects = config.family->name == "clip" && !absl::StrContains(tag, "_ft_");

  config.input_size_key = "pretrained_cfg.input_size";
  const Json* input_size = FindField(*pretrained, "input_size");
  if (input_size == nullptr) {
    return absl::InvalidArgumentError("pretrained_cfg.input_size: missing");
  }
  TOME_ASSIGN_OR_RETURN(const ImageSize input, InputSize(*input_size, config.input_size_key));
  if (const Json* stored = FindField(*model_args, "img_size"); stored != nullptr) {
    TOME_ASSIGN_OR_RETURN(config.stored_image_size, ToImageSize(*stored, "model_args.img_size"));
  }
  TOME_ASSIGN_OR_RETURN(config.preprocessing, EvalTransform(*pretrained, input));
  return config;
}

}  // namespace tome
