#ifndef TOME_SERVER_IMAGE_DECODE_WEBP_H_
#define TOME_SERVER_IMAGE_DECODE_WEBP_H_

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"

#include "server/image/image.h"

namespace tome {

// DecodeImage for a WebP file, lossy or lossless; of an animation the first frame, on a black
// canvas where it does not cover it. Transparency is dropped, not blended. REQUIRES: encoded begins
// with "RIFF", 4 bytes, "WEBP" and is within limits.max_bytes.
absl::StatusOr<RgbImage> DecodeWebp(std::span<const uint8_t> encoded, const ImageLimits& limits);

}  // namespace tome

#endif  // TOME_SERVER_IMAGE_DECODE_WEBP_H_
