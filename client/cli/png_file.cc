#include "client/cli/png_file.h"

#include <png.h>

#include "absl/strings/str_cat.h"

namespace tome::client {

absl::StatusOr<std::string> PngBytes(const RgbImage& image) {
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  png.height = image.height;
  png.width = image.width;
  png.format = PNG_FORMAT_RGB;
  constexpr int kAsItIs = 0;
  constexpr int kRowsWithoutGaps = 0;
  // The bound is of the largest file that such an image can become.
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(png);
  std::string bytes(size, '\0');
  if (png_image_write_to_memory(&png, bytes.data(), &size, kAsItIs, image.pixels.data(),
                                kRowsWithoutGaps, nullptr) == 0) {
    return absl::InternalError(
        absl::StrCat("no PNG of ", image.height, " x ", image.width, " pixels: ", png.message));
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace tome::client
