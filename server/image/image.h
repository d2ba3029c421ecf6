#ifndef TOME_SERVER_IMAGE_IMAGE_H_
#define TOME_SERVER_IMAGE_IMAGE_H_

#include <cstdint>
#include <vector>

namespace tome {

// Decoded pixels: [height, width, 3] bytes, rows from the top, each pixel red, green, blue.
struct RgbImage {
  int height = 0;
  int width = 0;
  std::vector<uint8_t> pixels;
};

// What a picture may ask for before anything is allocated for it.
struct ImageLimits {
  int64_t max_bytes = 20 << 20;     // of the encoded file
  int64_t max_pixels = 50'000'000;  // height * width
  int max_side = 16'384;            // pixels
  int max_scans = 64;       // of a progressive JPEG: each costs a pass over all coefficients
  int max_chunks = 16'384;  // of a PNG or WebP file
};

}  // namespace tome

#endif  // TOME_SERVER_IMAGE_IMAGE_H_
