#include "server/image/orientation.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace tome {
namespace {

constexpr size_t kChannels = 3;

void SwapPixels(uint8_t* one, uint8_t* other) { std::swap_ranges(one, one + kChannels, other); }

void MirrorColumns(RgbImage* image) {
  const size_t row_bytes = kChannels * image->width;
  for (int row = 0; row < image->height; ++row) {
    uint8_t* left = image->pixels.data() + row_bytes * row;
    uint8_t* right = left + row_bytes - kChannels;
    for (; left < right; left += kChannels, right -= kChannels) SwapPixels(left, right);
  }
}

void MirrorRows(RgbImage* image) {
  const size_t row_bytes = kChannels * image->width;
  uint8_t* top = image->pixels.data();
  uint8_t* bottom = top + row_bytes * (image->height - 1);
  for (; top < bottom; top += row_bytes, bottom -= row_bytes) {
    std::swap_ranges(top, top + row_bytes, bottom);
  }
}

// Both at once: the last pixel comes first.
void Reverse(RgbImage* image) {
  uint8_t* first = image->pixels.data();
  uint8_t* last = first + image->pixels.size() - kChannels;
  for (; first < last; first += kChannels, last -= kChannels) SwapPixels(first, last);
}

// Rows become columns; then those, or the rows, may be mirrored. Some rows at a time, so that what
// is written of a row of the target is in the cache when its neighbours come.
RgbImage Transpose(const RgbImage& image, bool mirror_columns, bool mirror_rows) {
  constexpr int kRowsAtOnce = 16;
  RgbImage transposed = {.height = image.width, .width = image.height, .pixels = {}};
  transposed.pixels.resize(image.pixels.size());
  const size_t source_stride = kChannels * image.width;
  const size_t target_stride = kChannels * image.height;
  const ptrdiff_t target_step = mirror_columns ? -static_cast<ptrdiff_t>(kChannels) : kChannels;
  for (int first_row = 0; first_row < image.height; first_row += kRowsAtOnce) {
    const int rows = std::min(kRowsAtOnce, image.height - first_row);
    const int first_target = mirror_columns ? image.height - 1 - first_row : first_row;
    for (int column = 0; column < image.width; ++column) {
      const int target_row = mirror_rows ? image.width - 1 - column : column;
      const uint8_t* source = image.pixels.data() + source_stride * first_row + kChannels * column;
      uint8_t* target =
          transposed.pixels.data() + target_stride * target_row + kChannels * first_target;
      for (int row = 0; row < rows; ++row, source += source_stride, target += target_step) {
        std::memcpy(target, source, kChannels);
      }
    }
  }
  return transposed;
}

}  // namespace

RgbImage Orient(RgbImage stored, int orientation) {
  switch (orientation) {
    case 2:
      MirrorColumns(&stored);
      break;
    case 3:
      Reverse(&stored);
      break;
    case 4:
      MirrorRows(&stored);
      break;
    case 5:
      return Transpose(stored, /*mirror_columns=*/false, /*mirror_rows=*/false);
    case 6:
      return Transpose(stored, /*mirror_columns=*/true, /*mirror_rows=*/false);
    case 7:
      return Transpose(stored, /*mirror_columns=*/true, /*mirror_rows=*/true);
    case 8:
      return Transpose(stored, /*mirror_columns=*/false, /*mirror_rows=*/true);
    default:
      break;
  }
  return stored;
}

}  // namespace tome
