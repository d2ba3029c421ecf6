#ifndef TOME_SERVER_IMAGE_PNG_CHUNKS_H_
#define TOME_SERVER_IMAGE_PNG_CHUNKS_H_

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"

#include "server/image/image.h"

namespace tome {

// The orientation (EXIF's number, 1 to 8) that a PNG file has among the chunks which libpng is told
// to pass over, where Pillow looks for it: eXIf (before or after the pixels), a text chunk "Raw
// profile type exif" as ImageMagick writes it, XMP; the last of a kind, and of an animation those
// before its second frame. INVALID_ARGUMENT for more chunks than the limit, and for a chunk of
// these that is cut off or whose check sum is wrong. Allocates nothing but one such text, 1 MiB at
// most if it is compressed. REQUIRES: encoded begins with PNG's signature.
absl::StatusOr<int> ReadPngOrientation(std::span<const uint8_t> encoded, const ImageLimits& limits);

}  // namespace tome

#endif  // TOME_SERVER_IMAGE_PNG_CHUNKS_H_
