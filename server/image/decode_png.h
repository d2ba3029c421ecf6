#ifndef TOME_SERVER_IMAGE_DECODE_PNG_H_
#define TOME_SERVER_IMAGE_DECODE_PNG_H_

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"

#include "server/image/image.h"

namespace tome {

// DecodeImage for a PNG file of any colour type, depth and interlacing, of an animation its default
// image. Transparency is dropped, not blended; gamma and colour profiles are ignored; 16-bit
// samples keep their high byte. A wrong check sum is an error up to the last pixel; what comes
// after it is read for an orientation only. REQUIRES: encoded begins with PNG's signature and is
// within limits.max_bytes.
absl::StatusOr<RgbImage> DecodePng(std::span<const uint8_t> encoded, const ImageLimits& limits);

}  // namespace tome

#endif  // TOME_SERVER_IMAGE_DECODE_PNG_H_
