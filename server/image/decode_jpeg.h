#ifndef TOME_SERVER_IMAGE_DECODE_JPEG_H_
#define TOME_SERVER_IMAGE_DECODE_JPEG_H_

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"

#include "server/image/image.h"

namespace tome {

// DecodeImage for a JPEG file: Huffman-coded, baseline or progressive, 8 bits, grey, three
// components or four (CMYK, YCCK). Bit-identical to libjpeg-turbo as Pillow calls it (accurate
// integer DCT, fancy upsampling). A file whose pixels are all there is read even if its end marker
// is not.
// REQUIRES: encoded begins with FF D8 FF and is within limits.max_bytes.
absl::StatusOr<RgbImage> DecodeJpeg(std::span<const uint8_t> encoded, const ImageLimits& limits);

}  // namespace tome

#endif  // TOME_SERVER_IMAGE_DECODE_JPEG_H_
