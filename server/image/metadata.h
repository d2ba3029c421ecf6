#ifndef TOME_SERVER_IMAGE_METADATA_H_
#define TOME_SERVER_IMAGE_METADATA_H_

#include <cstdint>
#include <optional>
#include <span>

#include "absl/strings/string_view.h"

// How a camera was held, as files write it beside their pixels. Orientations are EXIF's: 1 is
// upright, 2 to 8 are what Orient (orientation.h) undoes. Nothing here fails: a camera's odd
// metadata is no reason to refuse its picture.

namespace tome {

// The orientation of an EXIF block: a TIFF file, with or without "Exif\0\0" in front. None if it
// has none or cannot be read up to it; any number that stands there otherwise.
std::optional<int64_t> ExifOrientation(std::span<const uint8_t> exif);

// The orientation of an XMP packet: the digit of its first tiff:Orientation.
std::optional<int64_t> XmpOrientation(absl::string_view xmp);

// What Pillow's exif_transpose goes by: EXIF if it has an orientation, else XMP; 1 if neither or
// not 1 to 8. Either may be empty.
int OrientationOf(std::span<const uint8_t> exif, absl::string_view xmp);

}  // namespace tome

#endif  // TOME_SERVER_IMAGE_METADATA_H_
