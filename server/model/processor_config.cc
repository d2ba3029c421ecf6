#include "server/model/processor_config.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <tuple>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "server/base/status.h"
#include "server/model/json_fields.h"

namespace tome {
namespace {

constexpr std::array<float, 3> kHalf = {0.5f, 0.5f, 0.5f};
constexpr std::array<float, 3> kClipMean = {0.48145466f, 0.4578275f, 0.40821073f};
constexpr std::array<float, 3> kClipStd = {0.26862954f, 0.26130258f, 0.27577711f};
constexpr int kBilinear = 2;
constexpr int kBicubic = 3;

// What transformers' image processors do where the file is silent.
struct Processor {
  absl::string_view name;    // behind it: ImageProcessor, ImageProcessorFast, FeatureExtractor, ...
  absl::string_view family;  // whose processor it is where the file names none
  int resample;
  int size;
  bool square;           // height and width are `size`, else the shorter side is
  bool one_side_square;  // the same of a size that the file gives as one number
  int crop_size;         // 0: not cropped
  std::array<float, 3> mean;
  std::array<float, 3> std;
};
constexpr std::array<Processor, 6> kProcessors = {{
    {"ViT", "vit", kBilinear, 224, true, true, 0, kHalf, kHalf},
    {"ViT", "mae", kBilinear, 224, true, true, 0, kHalf, kHalf},
    {"DeiT", "deit", kBicubic, 256, true, true, 224, kHalf, kHalf},
    {"Bit", "dinov2", kBicubic, 224, false, false, 224, kClipMean, kClipStd},
    {"CLIP", "clip", kBicubic, 224, false, false, 224, kClipMean, kClipStd},
    {"Siglip", "siglip", kBicubic, 224, true, false, 0, kHalf, kHalf},
}};

// Pillow's numbers.
constexpr std::array<Preprocessing::Interpolation, 6> kInterpolations = {
    Preprocessing::Interpolation::kNearest,  Preprocessing::Interpolation::kLanczos,
    Preprocessing::Interpolation::kBilinear, Preprocessing::Interpolation::kBicubic,
    Preprocessing::Interpolation::kBox,      Preprocessing::Interpolation::kHamming};

// Keys that are read below, or that change no pixel.
constexpr auto kKnownKeys = std::to_array<absl::string_view>({
    "image_processor_type",
    "feature_extractor_type",
    "processor_class",
    "_processor_class",
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
    "do_convert_rgb",
    "default_to_square",
    "data_format",
    "input_data_format",
    "return_tensors",
    "device",
    "disable_grouping",
    "_valid_processor_keys",
    "_auto_class",
    "auto_map",
    "backend",
    "transformers_version",
    "use_square_size",
    "image_seq_length",
});

absl::StatusOr<const Processor*> FindProcessor(const Json& root, const VitFamily& family) {
  for (const absl::string_view key : {"image_processor_type", "feature_extractor_type"}) {
    TOME_ASSIGN_OR_RETURN(const std::string type, TextField(root, key, "", ""));
    if (type.empty()) continue;
    for (const Processor& processor : kProcessors) {
      absl::string_view kind = type;
      if (!absl::ConsumePrefix(&kind, processor.name)) continue;
      if (absl::StartsWith(kind, "ImageProcessor") || kind == "FeatureExtractor") return &processor;
    }
    return UnsupportedField(key, type, "the ViT, DeiT, Bit, CLIP and Siglip image processors");
  }
  const auto* found = std::ranges::find(kProcessors, family.name, &Processor::family);
  return found;
}

absl::Status CheckKeys(const Json& root) {
  for (const auto& [key, value] : root.items()) {
    // Steps that other processors have and these do not: off, they do nothing.
    if (value.is_null() || value == false) continue;
    if (std::ranges::find(kKnownKeys, absl::string_view(key)) == kKnownKeys.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(key, ": ", ShownValue(value), ": this option is not supported"));
    }
  }
  return absl::OkStatus();
}

// "size" as its file has it: {"height", "width"}, {"shortest_edge"} or a number.
struct TargetSize {
  std::optional<int> shortest_edge;
  ImageSize exact;
};

absl::StatusOr<TargetSize> Size(const Json& root, const Processor& processor) {
  TargetSize result;
  const Json* size = FindField(root, "size");
  if (size == nullptr) {
    result.exact = {processor.size, processor.size};
    if (!processor.square) result.shortest_edge = processor.size;
    return result;
  }
  if (!size->is_object()) {
    TOME_ASSIGN_OR_RETURN(result.exact, ToImageSize(*size, "size"));
    if (!size->is_array() && !processor.one_side_square) result.shortest_edge = result.exact.height;
    return result;
  }
  for (const auto& [key, value] : size->items()) {
    const bool known = key == "height" || key == "width" || key == "shortest_edge";
    if (!known && !value.is_null()) {
      return UnsupportedField("size", *size, "height and width, or shortest_edge");
    }
  }
  const Json* height = FindField(*size, "height");
  const Json* width = FindField(*size, "width");
  const Json* shortest = FindField(*size, "shortest_edge");
  if (shortest != nullptr && height == nullptr && width == nullptr) {
    TOME_ASSIGN_OR_RETURN(const int side,
                          IntField(*size, "shortest_edge", "size.", 1, kMaxImageSide, 0));
    result.shortest_edge = side;
    return result;
  }
  if (shortest != nullptr || height == nullptr || width == nullptr) {
    return UnsupportedField("size", *size, "height and width, or shortest_edge");
  }
  TOME_ASSIGN_OR_RETURN(result.exact.height,
                        IntField(*size, "height", "size.", 1, kMaxImageSide, 0));
  TOME_ASSIGN_OR_RETURN(result.exact.width, IntField(*size, "width", "size.", 1, kMaxImageSide, 0));
  return result;
}

absl::StatusOr<ImageSize> CropSize(const Json& root, const Processor& processor) {
  const Json* size = FindField(root, "crop_size");
  if (size == nullptr) {
    const int side = processor.crop_size > 0 ? processor.crop_size : processor.size;
    return ImageSize{side, side};
  }
  if (!size->is_object()) return ToImageSize(*size, "crop_size");
  if (FindField(*size, "height") == nullptr || FindField(*size, "width") == nullptr) {
    return UnsupportedField("crop_size", *size, "height and width");
  }
  ImageSize result;
  TOME_ASSIGN_OR_RETURN(result.height,
                        IntField(*size, "height", "crop_size.", 1, kMaxImageSide, 0));
  TOME_ASSIGN_OR_RETURN(result.width, IntField(*size, "width", "crop_size.", 1, kMaxImageSide, 0));
  return result;
}

absl::Status ReadSizes(const Json& root, const Processor& processor, Preprocessing* result) {
  TOME_ASSIGN_OR_RETURN(const bool resize, BoolField(root, "do_resize", "", true));
  TOME_ASSIGN_OR_RETURN(const bool crop,
                        BoolField(root, "do_center_crop", "", processor.crop_size > 0));
  TOME_ASSIGN_OR_RETURN(const TargetSize size, Size(root, processor));
  if (resize && size.shortest_edge.has_value()) {
    result->resize = Preprocessing::Resize::kShortestEdge;
    result->resize_height = *size.shortest_edge;
    result->resize_width = *size.shortest_edge;
  } else if (resize) {
    result->resize = Preprocessing::Resize::kExact;
    result->resize_height = size.exact.height;
    result->resize_width = size.exact.width;
  } else {
    result->resize = Preprocessing::Resize::kNone;
  }
  if (crop) {
    TOME_ASSIGN_OR_RETURN(const ImageSize crop_size, CropSize(root, processor));
    std::tie(result->crop_height, result->crop_width) = std::tie(crop_size.height, crop_size.width);
    return absl::OkStatus();
  }
  if (result->resize != Preprocessing::Resize::kExact) {
    return absl::InvalidArgumentError(
        "do_center_crop: without it, and without a size of height and width, pictures reach the "
        "model in sizes of their own; this is not supported");
  }
  result->crop_height = result->resize_height;
  result->crop_width = result->resize_width;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Preprocessing> ReadProcessorConfig(absl::string_view text, const VitFamily& family) {
  TOME_ASSIGN_OR_RETURN(const Json file, ParseJsonObject(text));
  const Json* nested = FindField(file, "image_processor");
  if (nested != nullptr && !nested->is_object()) {
    return WrongField("image_processor", *nested, "an object");
  }
  const Json& root = nested == nullptr ? file : *nested;
  TOME_RETURN_IF_ERROR(CheckKeys(root));
  TOME_ASSIGN_OR_RETURN(const Processor* processor, FindProcessor(root, family));

  Preprocessing result;
  result.crop_offset = Preprocessing::CropOffset::kDown;
  TOME_RETURN_IF_ERROR(ReadSizes(root, *processor, &result));
  TOME_ASSIGN_OR_RETURN(
      const int resample,
      IntField(root, "resample", "", 0, kInterpolations.size() - 1, processor->resample));
  result.interpolation = kInterpolations[resample];

  TOME_ASSIGN_OR_RETURN(const bool rescale, BoolField(root, "do_rescale", "", true));
  TOME_ASSIGN_OR_RETURN(result.rescale, PositiveField(root, "rescale_factor", "", 1.0 / 255.0));
  if (!rescale) result.rescale = 1.0;
  TOME_ASSIGN_OR_RETURN(const bool normalize, BoolField(root, "do_normalize", "", true));
  TOME_ASSIGN_OR_RETURN(result.mean, ChannelsField(root, "image_mean", "", processor->mean,
                                                   /*positive=*/false));
  TOME_ASSIGN_OR_RETURN(result.std, ChannelsField(root, "image_std", "", processor->std,
                                                  /*positive=*/true));
  if (!normalize) {
    result.mean = {0.0f, 0.0f, 0.0f};
    result.std = {1.0f, 1.0f, 1.0f};
  }
  return result;
}

}  // namespace tome
