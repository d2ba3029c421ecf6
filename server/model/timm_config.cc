#include "server/model/timm_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include <nlohmann/json.hpp>

#include "server/base/status.h"

namespace tome {
namespace {

using Json = nlohmann::json;

// Far above any model's input; keeps what follows from it inside an int.
constexpr int kMaxSide = 1 << 14;
constexpr int kMaxHeads = 1024;
// timm's DEFAULT_CROP_PCT, used where a checkpoint names none.
constexpr double kDefaultCropPct = 0.875;

// Arguments of timm's VisionTransformer that this reader may pass over: either the tensors show
// what they did, or they act in training only, or they size the classifier.
constexpr auto kShownByTensorsOrIdle = std::to_array<absl::string_view>({
    "attn_drop_rate",  "class_token",      "depth",      "drop_path_rate",  "drop_rate",
    "dynamic_img_pad", "dynamic_img_size", "embed_dim",  "fc_norm",         "final_norm",
    "fix_init",        "img_size",         "in_chans",   "init_values",     "mlp_ratio",
    "no_embed_class",  "num_classes",      "num_heads",  "global_pool",     "patch_drop_rate",
    "patch_size",      "pos_drop_rate",    "pre_norm",   "proj_bias",       "proj_drop_rate",
    "qk_norm",         "qkv_bias",         "reg_tokens", "scale_attn_norm", "scale_mlp_norm",
    "strict_img_size", "weight_init",
});

std::string Shown(const Json& value) {
  constexpr size_t kLongest = 100;
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > kLongest) text = absl::StrCat(text.substr(0, kLongest), "...");
  return text;
}

absl::Status Unsupported(absl::string_view key, const Json& value, absl::string_view supported) {
  return absl::InvalidArgumentError(
      absl::StrCat(key, ": ", Shown(value), " is not supported; supported: ", supported));
}

absl::Status Wrong(absl::string_view key, const Json& value, absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat(key, ": ", Shown(value), ", expected ", expected));
}

// The value at `key`, or nullptr if it is absent or null, which timm writes for "not set".
const Json* Find(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

absl::StatusOr<std::string> Text(const Json& object, const char* key, absl::string_view prefix,
                                 absl::string_view fallback) {
  const Json* value = Find(object, key);
  if (value == nullptr) return std::string(fallback);
  if (!value->is_string()) return Wrong(absl::StrCat(prefix, key), *value, "a string");
  return value->get<std::string>();
}

bool IsWithin(const Json& value, int lowest, int highest) {
  return value.is_number_integer() && value.get<int64_t>() >= lowest &&
         value.get<int64_t>() <= highest &&
         !(value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(highest));
}

struct Size {
  int height = 0;
  int width = 0;
  friend bool operator==(const Size&, const Size&) = default;
};

// A side in pixels or [height, width].
absl::StatusOr<Size> ImageSize(const Json& value, absl::string_view key) {
  if (IsWithin(value, 1, kMaxSide)) return Size{value.get<int>(), value.get<int>()};
  if (value.is_array() && value.size() == 2 && IsWithin(value[0], 1, kMaxSide) &&
      IsWithin(value[1], 1, kMaxSide)) {
    return Size{value[0].get<int>(), value[1].get<int>()};
  }
  return Wrong(key, value, absl::StrCat("a side or [height, width], each 1 to ", kMaxSide));
}

// [3, height, width].
absl::StatusOr<Size> InputSize(const Json& value, absl::string_view key) {
  if (!value.is_array() || value.size() != 3) return Wrong(key, value, "[3, height, width]");
  if (!IsWithin(value[0], 3, 3)) return Unsupported(key, value, "3 channels");
  return ImageSize(Json::array({value[1], value[2]}), key);
}

absl::StatusOr<std::array<float, 3>> Channels(const Json& pretrained, const char* key,
                                              const std::array<float, 3>& fallback) {
  const Json* value = Find(pretrained, key);
  if (value == nullptr) return fallback;
  const bool numbers =
      value->is_array() && value->size() == 3 &&
      std::ranges::all_of(*value, [](const Json& each) { return each.is_number(); });
  if (!numbers) {
    return Wrong(absl::StrCat("pretrained_cfg.", key), *value, "3 numbers, one a channel");
  }
  return std::array<float, 3>{(*value)[0].get<float>(), (*value)[1].get<float>(),
                              (*value)[2].get<float>()};
}

// timm's evaluation transform of data/transforms_factory.py.
absl::StatusOr<Preprocessing> EvalTransform(const Json& pretrained, Size input) {
  Preprocessing result;
  result.crop_height = input.height;
  result.crop_width = input.width;
  result.crop_offset = Preprocessing::CropOffset::kHalfToEven;

  TOME_ASSIGN_OR_RETURN(const std::string interpolation,
                        Text(pretrained, "interpolation", "pretrained_cfg.", "bicubic"));
  if (interpolation == "bicubic") {
    result.interpolation = Preprocessing::Interpolation::kBicubic;
  } else if (interpolation == "bilinear") {
    result.interpolation = Preprocessing::Interpolation::kBilinear;
  } else {
    return Unsupported("pretrained_cfg.interpolation", interpolation, "\"bicubic\", \"bilinear\"");
  }

  double crop_pct = kDefaultCropPct;
  if (const Json* value = Find(pretrained, "crop_pct"); value != nullptr) {
    const bool valid = value->is_number() && value->get<double>() > 0.0 &&
                       input.height / value->get<double>() <= kMaxSide &&
                       input.width / value->get<double>() <= kMaxSide;
    if (!valid) {
      return Wrong("pretrained_cfg.crop_pct", *value,
                   absl::StrCat("a number above 0 that resizes to at most ", kMaxSide, " a side"));
    }
    crop_pct = value->get<double>();
  }
  result.resize_height = static_cast<int>(std::floor(input.height / crop_pct));
  result.resize_width = static_cast<int>(std::floor(input.width / crop_pct));
  if (result.resize_height < 1 || result.resize_width < 1) {
    return Wrong("pretrained_cfg.crop_pct", crop_pct, "a number that resizes to 1 pixel or more");
  }

  TOME_ASSIGN_OR_RETURN(const std::string crop_mode,
                        Text(pretrained, "crop_mode", "pretrained_cfg.", "center"));
  if (crop_mode == "center") {
    result.resize = Preprocessing::Resize::kShortestEdge;
    // There timm keeps the aspect ratio by another rule, which this server does not have.
    if (input.height != input.width) {
      return Unsupported("pretrained_cfg.crop_mode", crop_mode,
                         absl::StrCat("\"squash\" for an input of ", input.height, " x ",
                                      input.width, "; \"center\" for square inputs only"));
    }
  } else if (crop_mode == "squash") {
    result.resize = Preprocessing::Resize::kExact;
  } else {
    return Unsupported("pretrained_cfg.crop_mode", crop_mode, "\"center\", \"squash\"");
  }

  // timm's IMAGENET_DEFAULT_MEAN and _STD.
  TOME_ASSIGN_OR_RETURN(result.mean, Channels(pretrained, "mean", {0.485f, 0.456f, 0.406f}));
  TOME_ASSIGN_OR_RETURN(result.std, Channels(pretrained, "std", {0.229f, 0.224f, 0.225f}));
  const bool finite = std::ranges::all_of(result.mean, [](float m) { return std::isfinite(m); });
  const bool positive =
      std::ranges::all_of(result.std, [](float s) { return std::isfinite(s) && s > 0.0f; });
  if (!finite) return Wrong("pretrained_cfg.mean", pretrained["mean"], "finite numbers");
  if (!positive) return Wrong("pretrained_cfg.std", pretrained["std"], "numbers above 0");
  return result;
}

// Refuses each argument that changes the computation in a way the tensors do not show.
absl::Status CheckModelArgs(const Json& model_args) {
  for (const auto& [key, value] : model_args.items()) {
    if (value.is_null()) continue;
    const std::string name = absl::StrCat("model_args.", key);
    if (key == "act_layer") {
      if (value != "gelu") return Unsupported(name, value, "\"gelu\"");
    } else if (key == "norm_layer") {
      if (value != "layernorm") return Unsupported(name, value, "\"layernorm\"");
    } else if (key == "pos_embed") {
      if (value != "learn") return Unsupported(name, value, "\"learn\"");
    } else if (key == "pool_include_prefix") {
      if (value != false) return Unsupported(name, value, "false");
    } else if (std::ranges::find(kShownByTensorsOrIdle, absl::string_view(key)) ==
               kShownByTensorsOrIdle.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": ", Shown(value), ": this argument is not supported"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TimmConfig> ParseTimmConfig(absl::string_view text) {
  const Json root = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded()) return absl::InvalidArgumentError("is not valid JSON");
  if (!root.is_object()) return Wrong("the file", root, "a JSON object");

  const Json* pretrained = Find(root, "pretrained_cfg");
  if (pretrained == nullptr) return absl::InvalidArgumentError("pretrained_cfg: missing");
  if (!pretrained->is_object()) return Wrong("pretrained_cfg", *pretrained, "an object");
  const Json no_args = Json::object();
  const Json* model_args = Find(root, "model_args");
  if (model_args == nullptr) model_args = &no_args;
  if (!model_args->is_object()) return Wrong("model_args", *model_args, "an object");
  TOME_RETURN_IF_ERROR(CheckModelArgs(*model_args));

  TimmConfig config;
  TOME_ASSIGN_OR_RETURN(config.architecture, Text(root, "architecture", "", ""));
  if (config.architecture.empty()) return absl::InvalidArgumentError("architecture: missing");
  TOME_ASSIGN_OR_RETURN(config.pretrained_tag, Text(*pretrained, "tag", "pretrained_cfg.", ""));

  TOME_ASSIGN_OR_RETURN(const std::string root_pool, Text(root, "global_pool", "", "token"));
  TOME_ASSIGN_OR_RETURN(config.global_pool,
                        Text(*model_args, "global_pool", "model_args.", root_pool));
  if (config.global_pool != "token" && config.global_pool != "avg") {
    return Unsupported("global_pool", config.global_pool, "\"token\", \"avg\"");
  }
  if (const Json* heads = Find(*model_args, "num_heads"); heads != nullptr) {
    if (!IsWithin(*heads, 1, kMaxHeads)) {
      return Wrong("model_args.num_heads", *heads, absl::StrCat("1 to ", kMaxHeads));
    }
    config.num_heads = heads->get<int>();
  }

  const Json* input_size = Find(*pretrained, "input_size");
  const Json* img_size = Find(*model_args, "img_size");
  if (input_size == nullptr)
    return absl::InvalidArgumentError("pretrained_cfg.input_size: missing");
  TOME_ASSIGN_OR_RETURN(const Size input, InputSize(*input_size, "pretrained_cfg.input_size"));
  if (img_size != nullptr) {
    TOME_ASSIGN_OR_RETURN(const Size model_size, ImageSize(*img_size, "model_args.img_size"));
    if (model_size != input) {
      return absl::InvalidArgumentError(absl::StrCat(
          "model_args.img_size: ", Shown(*img_size), " differs from pretrained_cfg.input_size ",
          Shown(*input_size), "; running at another input size is not supported"));
    }
  }
  TOME_ASSIGN_OR_RETURN(config.preprocessing, EvalTransform(*pretrained, input));
  return config;
}

}  // namespace tome
