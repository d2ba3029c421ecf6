#ifndef TOME_SERVER_KERNELS_GATHER_ROWS_H_
#define TOME_SERVER_KERNELS_GATHER_ROWS_H_

#include <cuda_runtime_api.h>

#include "server/kernels/element_type.h"
#include "server/merge/merge_plan.h"

namespace tome::kernels {

// The first `rows` rows of each image, packed: out[image * rows + i] = x[segments[image].offset +
// i]. The last block of a model that pools its prefix tokens goes on with these alone.
struct GatherRowsArgs {
  ElementType type = ElementType::kFloat32;
  const void* x = nullptr;            // T [T, width]
  const Segment* segments = nullptr;  // [images] on the device
  void* out = nullptr;                // T [images * rows, width]
  int images = 0;
  int rows = 0;
  int width = 0;
};

// REQUIRES: width a multiple of 8. Otherwise cudaErrorInvalidValue.
cudaError_t GatherRows(const GatherRowsArgs& args, cudaStream_t stream);

}  // namespace tome::kernels

#endif  // TOME_SERVER_KERNELS_GATHER_ROWS_H_
