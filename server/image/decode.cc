#include "server/image/decode.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include "server/image/decode_jpeg.h"
#include "server/image/decode_png.h"
#include "server/image/decode_webp.h"

namespace tome {
namespace {

constexpr absl::string_view kJpegMagic = "\xff\xd8\xff";
constexpr absl::string_view kPngMagic = "\x89PNG\r\n\x1a\n";

bool HasAt(std::span<const uint8_t> encoded, size_t offset, absl::string_view magic) {
  return encoded.size() >= offset + magic.size() &&
         std::equal(magic.begin(), magic.end(), encoded.begin() + offset,
                    [](char c, uint8_t byte) { return static_cast<uint8_t>(c) == byte; });
}

// The formats that callers are likely to have sent by mistake; empty for anything else.
absl::string_view ForeignFormat(std::span<const uint8_t> encoded) {
  using absl::string_view;
  if (HasAt(encoded, 0, "GIF8")) return "GIF";
  if (HasAt(encoded, 0, "BM")) return "BMP";
  if (HasAt(encoded, 0, string_view("II*\0", 4)) || HasAt(encoded, 0, string_view("MM\0*", 4))) {
    return "TIFF";
  }
  if (HasAt(encoded, 4, "ftypavif")) return "AVIF";
  if (HasAt(encoded, 4, "ftyphei") || HasAt(encoded, 4, "ftypmif1")) return "HEIF";
  if (HasAt(encoded, 4, "jP  \r\n\x87\n")) return "JPEG 2000";
  if (HasAt(encoded, 4, "JXL \r\n\x87\n") || HasAt(encoded, 0, "\xff\x0a")) return "JPEG XL";
  if (HasAt(encoded, 1, "PNG")) return "PNG with a damaged signature";
  return "";
}

absl::Status UnknownFormat(std::span<const uint8_t> encoded) {
  constexpr size_t kShownBytes = 4;
  std::string message = "neither JPEG, PNG nor WebP: starts with";
  for (const uint8_t byte : encoded.first(std::min(encoded.size(), kShownBytes))) {
    absl::StrAppend(&message, " ", absl::Hex(byte, absl::kZeroPad2));
  }
  const absl::string_view format = ForeignFormat(encoded);
  if (!format.empty()) absl::StrAppend(&message, " (", format, ")");
  return absl::InvalidArgumentError(message);
}

}  // namespace

absl::StatusOr<RgbImage> DecodeImage(std::span<const uint8_t> encoded, const ImageLimits& limits) {
  if (encoded.empty())
    return absl::InvalidArgumentError("empty: a JPEG, PNG or WebP file is needed");
  if (static_cast<int64_t>(encoded.size()) > limits.max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the file has ", encoded.size(), " bytes, the limit is ", limits.max_bytes));
  }
  if (HasAt(encoded, 0, kJpegMagic)) return DecodeJpeg(encoded, limits);
  if (HasAt(encoded, 0, kPngMagic)) return DecodePng(encoded, limits);
  if (HasAt(encoded, 0, "RIFF") && HasAt(encoded, 8, "WEBP")) return DecodeWebp(encoded, limits);
  return UnknownFormat(encoded);
}

}  // namespace tome
