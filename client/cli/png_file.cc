#include "client/cli/png_file.h"

#include <png.h>

#include <fstream>

#include "absl/strings/str_cat.h"

namespace tome::client {

std::string PngBytes(const RgbImage& image) {
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
  png_image_write_to_memory(&png, bytes.data(), &size, kAsItIs, image.pixels.data(),
                            kRowsWithoutGaps, nullptr);
  bytes.resize(size);
  return bytes;
}

absl::Status WritePng(const RgbImage& image, const std::string& file) {
  std::ofstream out(file, std::ios::binary);
  out << PngBytes(image);
  out.flush();
  return out ? absl::OkStatus() : absl::InvalidArgumentError(absl::StrCat("cannot write ", file));
}

}  // namespace tome::client
