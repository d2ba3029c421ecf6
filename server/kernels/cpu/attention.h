#ifndef TOME_SERVER_KERNELS_CPU_ATTENTION_H_
#define TOME_SERVER_KERNELS_CPU_ATTENTION_H_

#include <cstddef>
#include <span>

#include "server/kernels/cpu/parallel_for.h"
#include "server/kernels/element_type.h"
#include "server/merge/merge_plan.h"

namespace tome::kernels::cpu {

// Multi-head attention of each image's tokens among themselves:
//   out[i] = sum over keys j of softmax_j(q[i] k[j] * scale + log_size[j]) v[j]
// q, k and v may lie in one [T, 3 D] product of a linear layer: each has its own row stride; head h
// is elements [h * head_size, (h + 1) * head_size) of a row. Any head size.
//
// Logits, softmax and sums are float32; exponentials are within 2 units in the last place. For
// bfloat16 on kAvx512BFloat16 the softmax's numerators are rounded to bfloat16, and their sum is
// that of the rounded ones; elsewhere bfloat16 is widened and only `out` is rounded.
//
// A row of `out` has the same bits whatever else is asked: its image alone or in a batch, all rows
// or the first ones, any number of workers.
struct AttentionArgs {
  ElementType type = ElementType::kFloat32;  // T: float32 or bfloat16
  const void* q = nullptr;                   // T
  const void* k = nullptr;                   // T
  const void* v = nullptr;                   // T
  int q_stride = 0;                          // elements from one row to the next
  int k_stride = 0;
  int v_stride = 0;
  std::span<const Segment> segments;  // [images], each with a token
  const float* log_size = nullptr;    // [T], or null: every token stands for one patch
  void* out = nullptr;                // T [rows, heads * head_size]
  // 0: every token asks, rows = T. Else the first query_rows of each image ask, and q and out hold
  // these alone: rows = images * query_rows; each image has that many tokens.
  int query_rows = 0;
  int heads = 0;
  int head_size = 0;
  float scale = 0;
  void* scratch = nullptr;  // AttentionScratchBytes, on 64 bytes
};

size_t AttentionScratchBytes(int max_tokens, int head_size, int workers);

// REQUIRES: scratch for the longest segment.
void Attention(const AttentionArgs& args, const Compute& compute);

}  // namespace tome::kernels::cpu

#endif  // TOME_SERVER_KERNELS_CPU_ATTENTION_H_
