#ifndef TOME_SERVER_SERVICE_INPUT_H_
#define TOME_SERVER_SERVICE_INPUT_H_

#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/base/clock.h"
#include "server/base/preprocessing.h"
#include "server/image/image.h"
#include "server/image/resize_crop.h"

namespace tome {

// A JPEG, PNG or WebP file's bytes.
struct EncodedInput {
  std::span<const uint8_t> bytes;
};
// Pixels of any size, resized and cropped like a decoded file.
struct RgbInput {
  RgbView view;
};
// Pixels of exactly the model's input size.
struct ModelPixelsInput {
  RgbView view;
};

using Input = std::variant<EncodedInput, RgbInput, ModelPixelsInput>;

// What the engine takes of an input, and how long each step on the way took, if there was one.
struct PreparedInput {
  std::vector<uint8_t> pixels;  // [spec.crop_height, spec.crop_width, 3]
  std::optional<absl::Duration> decode = std::nullopt;
  std::optional<absl::Duration> preprocess = std::nullopt;
};

// Checks, decodes, resizes and crops. INVALID_ARGUMENT with the field "input.encoded", "input.rgb"
// or "input.model_pixels"; the limits hold for decoded pixels, too. Thread-safe.
absl::StatusOr<PreparedInput> PrepareInput(const Input& input, const Preprocessing& spec,
                                           const ImageLimits& limits, const Clock& clock);

}  // namespace tome

#endif  // TOME_SERVER_SERVICE_INPUT_H_
