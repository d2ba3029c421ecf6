#ifndef TOME_SERVER_KERNELS_LAYER_NORM_H_
#define TOME_SERVER_KERNELS_LAYER_NORM_H_

#include <cuda_runtime_api.h>

#include "server/kernels/element_type.h"
#include "server/merge/merge_plan.h"

namespace tome::kernels {

// out[i] = (x[i] - mean) / sqrt(variance + epsilon) * weight + bias, statistics in float32, over
// each row. Which rows of x are read:
//   segments null: all, `rows` of them
//   else:          of each image its first `rows` rows (out is [images * rows, width])
struct LayerNormArgs {
  ElementType type = ElementType::kFloat32;      // of x
  ElementType out_type = ElementType::kFloat32;  // `type`, or float32
  const void* x = nullptr;                       // [.., width]
  void* out = nullptr;
  const float* weight = nullptr;      // [width]
  const float* bias = nullptr;        // [width]
  const Segment* segments = nullptr;  // [images] on the device, or null
  float epsilon = 0;
  int images = 0;  // read with segments only
  int rows = 0;
  int width = 0;
};

// REQUIRES: width a multiple of 8, at most kMaxWidth; each image at least `rows` tokens. What the
// host can see of that otherwise gives cudaErrorInvalidValue.
cudaError_t LayerNorm(const LayerNormArgs& args, cudaStream_t stream);

}  // namespace tome::kernels

#endif  // TOME_SERVER_KERNELS_LAYER_NORM_H_
