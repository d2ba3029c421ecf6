// What the network would see of files, for the parity tests to compare with a library's own
// preprocessing: reads lines of a path and a Preprocessing (preprocessing_words.h) from standard
// input, writes each one's pixels, [crop height, crop width, 3] bytes, to standard output.

#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "server/image/decode.h"
#include "server/image/resize_crop.h"
#include "tests/image/preprocessing_words.h"

int main() {
  std::string path;
  tome::Preprocessing spec;
  while (std::cin >> path && tome::ReadPreprocessing(std::cin, &spec)) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<uint8_t> encoded{std::istreambuf_iterator<char>(file), {}};
    const absl::StatusOr<tome::RgbImage> image = tome::DecodeImage(encoded, {.max_side = 65'535});
    if (!image.ok()) {
      std::cerr << path << ": " << image.status() << '\n';
      return 1;
    }
    const std::vector<uint8_t> pixels =
        tome::ResizeAndCrop({image->height, image->width, image->pixels}, spec);
    std::cout.write(reinterpret_cast<const char*>(pixels.data()),
                    static_cast<std::streamsize>(pixels.size()));
  }
  return std::cout.flush() ? 0 : 1;
}
