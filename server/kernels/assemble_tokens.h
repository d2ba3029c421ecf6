#ifndef TOME_SERVER_KERNELS_ASSEMBLE_TOKENS_H_
#define TOME_SERVER_KERNELS_ASSEMBLE_TOKENS_H_

#include <cuda_runtime_api.h>

#include "server/kernels/element_type.h"

namespace tome::kernels {

// The first block's packed tokens:
//   x[image, i]          = prefix[i]                               the first prefix_tokens rows
//   x[image, prefix + i] = patch_embeddings[image, i] + position[i]
// summed in float32 and rounded once; with norm_weight each row is layer-normalised before it is
// rounded (CLIP's norm in front of the blocks).
struct AssembleTokensArgs {
  ElementType type = ElementType::kFloat32;
  const void* patch_embeddings = nullptr;  // T [images * patches, width]
  const float* prefix = nullptr;           // [prefix_tokens, width]; may be null if there are none
  const float* position = nullptr;         // [patches, width]
  const float* norm_weight = nullptr;      // [width], or null: no norm
  const float* norm_bias = nullptr;        // [width]; null exactly if norm_weight is
  float epsilon = 0;
  void* x = nullptr;  // T [images * (prefix_tokens + patches), width]
  int images = 0;
  int patches = 0;
  int prefix_tokens = 0;
  int width = 0;
};

// REQUIRES: width a multiple of 8, at most kMaxWidth. Otherwise cudaErrorInvalidValue.
cudaError_t AssembleTokens(const AssembleTokensArgs& args, cudaStream_t stream);

}  // namespace tome::kernels

#endif  // TOME_SERVER_KERNELS_ASSEMBLE_TOKENS_H_
