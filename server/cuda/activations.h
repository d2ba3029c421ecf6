#ifndef TOME_SERVER_CUDA_ACTIVATIONS_H_
#define TOME_SERVER_CUDA_ACTIVATIONS_H_

#include <cstddef>

#include "server/cuda/arena.h"
#include "server/cuda/module.h"
#include "server/kernels/element_type.h"
#include "server/merge/merge_plan.h"

namespace tome::cuda {

// A pass's device memory, laid out once for the largest batch: [T] is all its tokens before the
// first block, D the width of a token. Passes follow each other on one stream and share it.
struct Activations {
  // Takes its pieces of the arena; with one over no memory, only measures.
  Activations(Arena& arena, const Model& model, kernels::ElementType type, int max_images);

  Segment* segments;  // PassPlan's upload

  void* x;       // T [T, D] the residual stream
  void* spare;   // T [T, D] where merged tokens go; then the two change places
  void* normed;  // T [T, D] what linear layers read; attention's values
  // Patch rows, then queries, keys and values, then the MLP's inside, in turn; the final tokens.
  void* wide;
  void* gated;  // T [T, mlp_hidden_dim] of SwiGLU

  float* size[2];   // [T] patches each token stands for, before and after a merge
  float* log_size;  // [T]
  // MatchTokens' lists.
  int* own_row;
  int* first_source;
  int* source_count;
  int* source_row;
  int* row_after;
  void* match_workspace;
  int* group;         // [T] packed row that each first token is part of
  float* final_size;  // [T]

  // In pooling order.
  float* pooled;     // [images, D]
  float* projected;  // [images, projection_dim]
};

}  // namespace tome::cuda

#endif  // TOME_SERVER_CUDA_ACTIVATIONS_H_
