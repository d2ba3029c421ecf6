#ifndef TOME_SERVER_IMAGE_DECODE_H_
#define TOME_SERVER_IMAGE_DECODE_H_

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"

#include "server/image/image.h"

namespace tome {

// Decodes a JPEG, PNG or WebP file to RGB as Pillow's exif_transpose and convert("RGB") do; its
// first bytes decide the format. Two exceptions: 16-bit grey keeps its high byte, as 16-bit colour
// does, where Pillow turns every value above 255 white; and EXIF that cannot be read says nothing
// of the orientation, where Pillow gives up. INVALID_ARGUMENT (without a field; the caller knows
// which) for a file that is over a limit, corrupt, truncated or of another format: the message says
// what was found and what the limit is. Limits are checked before memory is allocated for the
// pixels. Thread-safe.
absl::StatusOr<RgbImage> DecodeImage(std::span<const uint8_t> encoded, const ImageLimits& limits);

}  // namespace tome

#endif  // TOME_SERVER_IMAGE_DECODE_H_
