#ifndef TOME_SERVER_KERNELS_POOL_H_
#define TOME_SERVER_KERNELS_POOL_H_

#include <cuda_runtime_api.h>

#include "server/kernels/element_type.h"
#include "server/merge/merge_plan.h"

namespace tome::kernels {

enum class Pooling {
  kClassToken,         // the first row
  kMeanOfClassTokens,  // the mean of the first two: class and distillation token
  kMeanOfPatches,      // the mean of the rows behind the prefix, weighted by size
};

enum class PoolNorm { kBefore, kAfter, kNone };

// Each image's final tokens as one float32 vector. The final norm belongs to each row before the
// pooling, or to the pooled vector.
struct PoolArgs {
  ElementType type = ElementType::kFloat32;
  Pooling pooling = Pooling::kClassToken;
  PoolNorm norm = PoolNorm::kBefore;
  const void* x = nullptr;             // T [T, width]
  const float* size = nullptr;         // [T], or null: all ones; read for kMeanOfPatches only
  const Segment* segments = nullptr;   // [images] on the device
  const float* norm_weight = nullptr;  // [width]; null for kNone
  const float* norm_bias = nullptr;    // [width]; null for kNone
  float epsilon = 0;
  float* out = nullptr;  // [images, width]
  int images = 0;
  int prefix_tokens = 0;
  int width = 0;
};

// REQUIRES: width a multiple of 8, at most kMaxWidth; each image a row to pool. What the host can
// see of that otherwise gives cudaErrorInvalidValue.
cudaError_t Pool(const PoolArgs& args, cudaStream_t stream);

}  // namespace tome::kernels

#endif  // TOME_SERVER_KERNELS_POOL_H_
