#include "server/service/input.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include "server/base/status.h"
#include "server/image/decode.h"

namespace tome {
namespace {

constexpr int64_t kChannels = 3;

std::string SizeText(int height, int width) {
  return absl::StrCat(height, " x ", width, " pixels");
}

// REQUIRES: no side is negative.
absl::Status CheckDataSize(const RgbView& view, absl::string_view field) {
  const int64_t bytes = kChannels * view.height * view.width;
  if (static_cast<int64_t>(view.pixels.size()) == bytes) return absl::OkStatus();
  return InvalidField(field, absl::StrCat(view.pixels.size(), " bytes of data, ",
                                          SizeText(view.height, view.width), " are ", bytes));
}

absl::Status CheckRgb(const RgbView& view, const ImageLimits& limits) {
  constexpr absl::string_view kField = "input.rgb";
  const std::string size = SizeText(view.height, view.width);
  if (view.height <= 0 || view.width <= 0) {
    return InvalidField(kField, absl::StrCat(size, ", each side must be at least 1"));
  }
  if (view.height > limits.max_side || view.width > limits.max_side) {
    return InvalidField(kField, absl::StrCat(size, ", the limit is ", limits.max_side, " a side"));
  }
  if (static_cast<int64_t>(view.height) * view.width > limits.max_pixels) {
    return InvalidField(kField,
                        absl::StrCat(size, ", the limit is ", limits.max_pixels, " pixels"));
  }
  return CheckDataSize(view, kField);
}

absl::Status CheckModelPixels(const RgbView& view, const Preprocessing& spec) {
  constexpr absl::string_view kField = "input.model_pixels";
  if (view.height != spec.crop_height || view.width != spec.crop_width) {
    return InvalidField(kField,
                        absl::StrCat(SizeText(view.height, view.width), ", the model takes ",
                                     spec.crop_height, " x ", spec.crop_width));
  }
  return CheckDataSize(view, kField);
}

// One overload a kind of input.
struct Prepare {
  const Preprocessing& spec;
  const ImageLimits& limits;
  const Clock& clock;

  absl::StatusOr<PreparedInput> operator()(const EncodedInput& input) const {
    const absl::Time begin = clock.Now();
    absl::StatusOr<RgbImage> image = DecodeImage(input.bytes, limits);
    if (!image.ok()) return WithFieldParent(image.status(), "input.encoded");
    const absl::Duration decode = clock.Now() - begin;
    PreparedInput prepared =
        Resize({.height = image->height, .width = image->width, .pixels = image->pixels});
    prepared.decode = decode;
    return prepared;
  }

  absl::StatusOr<PreparedInput> operator()(const RgbInput& input) const {
    TOME_RETURN_IF_ERROR(CheckRgb(input.view, limits));
    return Resize(input.view);
  }

  absl::StatusOr<PreparedInput> operator()(const ModelPixelsInput& input) const {
    TOME_RETURN_IF_ERROR(CheckModelPixels(input.view, spec));
    return PreparedInput{.pixels = {input.view.pixels.begin(), input.view.pixels.end()}};
  }

  PreparedInput Resize(const RgbView& view) const {
    const absl::Time begin = clock.Now();
    PreparedInput prepared{.pixels = ResizeAndCrop(view, spec)};
    prepared.preprocess = clock.Now() - begin;
    return prepared;
  }
};

}  // namespace

absl::StatusOr<PreparedInput> PrepareInput(const Input& input, const Preprocessing& spec,
                                           const ImageLimits& limits, const Clock& clock) {
  return std::visit(Prepare{spec, limits, clock}, input);
}

}  // namespace tome
