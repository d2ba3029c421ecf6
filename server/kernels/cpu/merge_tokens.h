#ifndef TOME_SERVER_KERNELS_CPU_MERGE_TOKENS_H_
#define TOME_SERVER_KERNELS_CPU_MERGE_TOKENS_H_

#include "server/kernels/cpu/parallel_for.h"
#include "server/kernels/element_type.h"

namespace tome::kernels::cpu {

// The tokens after a block's merges, along MatchTokens' lists, and their layer norm, in one sweep:
//   x_out[i]    = (s[own] x[own] + sum over sources j of s[j] x[j]) / (s[own] + sum s[j])
//   size_out[i] = s[own] + sum s[j]
//   normed[i]   = LayerNorm(x_out[i])
// summed in float32 in that order and rounded once; a row that receives nothing keeps its bits.
struct MergeTokensArgs {
  ElementType type = ElementType::kFloat32;  // T: float32 or bfloat16
  const void* x = nullptr;                   // T [T_in, width]
  const float* size = nullptr;               // [T_in] s, or null: all ones
  const int* own_row = nullptr;              // [T_out]
  const int* first_source = nullptr;         // [T_out]
  const int* source_count = nullptr;         // [T_out]
  const int* source_row = nullptr;           // [T_in]
  const float* norm_weight = nullptr;        // [width]
  const float* norm_bias = nullptr;          // [width]
  float epsilon = 0;
  void* x_out = nullptr;          // T [T_out, width], apart from x
  float* size_out = nullptr;      // [T_out], apart from size
  float* log_size_out = nullptr;  // [T_out] what attention adds to the logits
  void* normed = nullptr;         // T [T_out, width], apart from x
  int rows_out = 0;               // T_out
  int width = 0;
};

void MergeTokens(const MergeTokensArgs& args, const Compute& compute);

}  // namespace tome::kernels::cpu

#endif  // TOME_SERVER_KERNELS_CPU_MERGE_TOKENS_H_
