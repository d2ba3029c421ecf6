#ifndef TOME_SERVER_KERNELS_PATCH_ROWS_H_
#define TOME_SERVER_KERNELS_PATCH_ROWS_H_

#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>

#include "server/kernels/element_type.h"

namespace tome::kernels {

// Pixels as the rows that the patch embedding's linear layer reads, normalised on the way:
//   rows[image, patch][channel, y, x] = pixel * scale[channel] + shift[channel]
// which is (pixel / 255 - mean) / std for scale = 1 / (255 std), shift = -mean / std. Patches are
// in row order; the channel, row, column order inside one is that of a convolution's kernel. Behind
// the 3 * patch_size^2 values a row is zero up to its stride.
struct PatchRowsArgs {
  ElementType type = ElementType::kFloat32;
  const uint8_t* pixels = nullptr;  // [images, height, width, 3]
  void* rows = nullptr;             // T [images * patches, row_stride]
  int images = 0;
  int height = 0;
  int width = 0;
  int patch_size = 0;
  int row_stride = 0;
  std::array<float, 3> scale = {};
  std::array<float, 3> shift = {};
};

// REQUIRES: height and width multiples of patch_size; row_stride >= 3 * patch_size^2 and a multiple
// of 8. Otherwise cudaErrorInvalidValue.
cudaError_t PatchRows(const PatchRowsArgs& args, cudaStream_t stream);

}  // namespace tome::kernels

#endif  // TOME_SERVER_KERNELS_PATCH_ROWS_H_
