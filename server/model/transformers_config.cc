#include "server/model/transformers_config.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "server/base/status.h"
#include "server/model/json_fields.h"

namespace tome {
namespace {

// transformers' own where a file leaves them out, the same for all families here.
constexpr int kDefaultHeads = 12;
constexpr int kDefaultImageSize = 224;
constexpr int kMaxBlocks = 1024;

absl::StatusOr<VitActivation> Activation(const Json& config, absl::string_view prefix,
                                         VitActivation fallback) {
  const Json* value = FindField(config, "hidden_act");
  if (value == nullptr) return fallback;
  if (*value == "gelu") return VitActivation::kGelu;
  if (*value == "gelu_pytorch_tanh" || *value == "gelu_new") return VitActivation::kGeluTanh;
  if (*value == "quick_gelu") return VitActivation::kQuickGelu;
  return UnsupportedField(absl::StrCat(prefix, "hidden_act"), *value,
                          "\"gelu\", \"gelu_pytorch_tanh\", \"gelu_new\", \"quick_gelu\"");
}

}  // namespace

bool IsTransformersConfig(absl::string_view text) {
  const absl::StatusOr<Json> root = ParseJsonObject(text);
  return root.ok() && FindField(*root, "model_type") != nullptr;
}

absl::StatusOr<VitConfig> ReadTransformersConfig(absl::string_view text) {
  TOME_ASSIGN_OR_RETURN(const Json root, ParseJsonObject(text));
  VitConfig config;
  TOME_ASSIGN_OR_RETURN(const std::string model_type, TextField(root, "model_type", "", ""));
  config.family = FindTransformersFamily(model_type);
  if (config.family == nullptr) {
    const auto name = [](std::string* out, const VitFamily& family) {
      absl::StrAppend(out, "\"", family.model_type, "\"");
    };
    return UnsupportedField("model_type", model_type,
                            absl::StrJoin(TransformersFamilies(), ", ", name));
  }
  config.architecture = model_type;
  if (const Json* classes = FindField(root, "architectures"); classes != nullptr) {
    if (!classes->is_array() || classes->empty() || !classes->front().is_string()) {
      return WrongField("architectures", *classes, "a list of class names");
    }
    config.architecture = classes->front().get<std::string>();
  }

  // A model of two towers describes each in a part of its own.
  const bool two_towers = model_type == "clip" || model_type == "siglip";
  const Json nothing = Json::object();
  const Json* vision = two_towers ? FindField(root, "vision_config") : &root;
  if (vision == nullptr) vision = &nothing;
  if (!vision->is_object()) return WrongField("vision_config", *vision, "an object");
  const absl::string_view prefix = two_towers ? "vision_config." : "";

  config.heads_key = absl::StrCat(prefix, "num_attention_heads");
  config.blocks_key = absl::StrCat(prefix, "num_hidden_layers");
  config.input_size_key = "preprocessor_config.json: the input size";
  TOME_ASSIGN_OR_RETURN(
      config.heads, IntField(*vision, "num_attention_heads", prefix, 1, kMaxHeads, kDefaultHeads));
  TOME_ASSIGN_OR_RETURN(const int blocks,
                        IntField(*vision, "num_hidden_layers", prefix, 1, kMaxBlocks, 0));
  if (blocks > 0) config.blocks = blocks;
  TOME_RETURN_IF_ERROR(IntField(*vision, "num_channels", prefix, 3, 3, 3).status());
  TOME_ASSIGN_OR_RETURN(config.norm_epsilon, PositiveField(*vision, "layer_norm_eps", prefix,
                                                           config.family->norm_epsilon));
  TOME_ASSIGN_OR_RETURN(config.activation, Activation(*vision, prefix, config.family->activation));
  TOME_ASSIGN_OR_RETURN(config.qkv_bias, BoolField(*vision, "qkv_bias", prefix, true));
  config.pooling = config.family->pooling;
  config.proportional_attention = config.family->proportional_attention;
  config.projects = config.family->name == "clip";
  config.stored_image_size = ImageSize{kDefaultImageSize, kDefaultImageSize};
  if (const Json* size = FindField(*vision, "image_size"); size != nullptr) {
    TOME_ASSIGN_OR_RETURN(config.stored_image_size,
                          ToImageSize(*size, absl::StrCat(prefix, "image_size")));
  }
  return config;
}

}  // namespace tome
