#ifndef TOME_SERVER_IMAGE_RESAMPLE_H_
#define TOME_SERVER_IMAGE_RESAMPLE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "server/base/preprocessing.h"

// Resampling along one axis in the fixed-point arithmetic of Pillow: weights are computed in
// double, scaled by 2^22 and rounded; a sample is the rounded sum, clipped to a byte. kNearest is a
// weight of 1 at the position that Pillow's scaling looks at.

namespace tome {

// What each of some neighbouring output positions takes from the source.
struct AxisWeights {
  struct Window {
    int first = 0;  // source position
    int taps = 0;   // positions from there
  };

  std::vector<Window> windows;   // [outputs], their starts and ends never decrease
  std::vector<int32_t> weights;  // [outputs, max_taps], times 2^22; 0 beyond a window's taps
  int max_taps = 0;

  const int32_t* weights_of(int output) const {
    return weights.data() + static_cast<size_t>(output) * max_taps;
  }
};

// The weights of outputs `first` to `first + count` of a `source` long axis resized to `resized`.
// REQUIRES: source > 0, 0 <= first, first + count <= resized, count > 0.
AxisWeights ComputeAxisWeights(int source, int64_t resized, int64_t first, int count,
                               Preprocessing::Interpolation interpolation);

// `rows` rows of columns.windows.size() 3-byte pixels to `target`. `source` points at the source
// column columns.windows.front().first. Strides are in bytes.
void ResampleColumns(const uint8_t* source, size_t source_stride, int rows,
                     const AxisWeights& columns, uint8_t* target, size_t target_stride);

// rows.windows.size() rows of `row_bytes` bytes to `target`. `source` points at the source row
// rows.windows.front().first. Strides are in bytes.
void ResampleRows(const uint8_t* source, size_t source_stride, size_t row_bytes,
                  const AxisWeights& rows, uint8_t* target, size_t target_stride);

}  // namespace tome

#endif  // TOME_SERVER_IMAGE_RESAMPLE_H_
