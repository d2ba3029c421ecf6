#ifndef TOME_SERVER_IMAGE_RESIZE_CROP_H_
#define TOME_SERVER_IMAGE_RESIZE_CROP_H_

#include <cstdint>
#include <span>
#include <vector>

#include "server/base/preprocessing.h"
#include "server/image/image.h"

namespace tome {

// A picture that someone else owns: [height, width, 3] bytes.
struct RgbView {
  int height = 0;
  int width = 0;
  std::span<const uint8_t> pixels;
};

// The model's input pixels, [crop_height, crop_width, 3], bit-equal to Pillow 12.2's resize
// followed by the crop: antialiased (but for kNearest), separable, 22-bit fixed-point weights, each
// pass rounded to bytes. Only what the crop keeps is computed. Thread-safe. REQUIRES: view.height,
// view.width > 0 and the sizes that the spec reads > 0.
std::vector<uint8_t> ResizeAndCrop(const RgbView& view, const Preprocessing& spec);

}  // namespace tome

#endif  // TOME_SERVER_IMAGE_RESIZE_CROP_H_
