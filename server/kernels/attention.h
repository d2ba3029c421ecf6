#ifndef TOME_SERVER_KERNELS_ATTENTION_H_
#define TOME_SERVER_KERNELS_ATTENTION_H_

#include <cuda_runtime_api.h>

#include "server/kernels/element_type.h"
#include "server/merge/merge_plan.h"

namespace tome::kernels {

// Which rows ask.
enum class Queries {
  kAllRows,    // every token of each image; out [T, heads * head_size]
  kFirstRows,  // the first query_rows of each image; out [images * query_rows, heads * head_size]
  kShared,     // the query_rows rows of q, the same for every image; out as for kFirstRows
};

// Multi-head attention of each image's tokens among themselves:
//   out[i] = sum over keys j of softmax_j(q[i] k[j] * scale + log_size[j]) v[j]
// q, k and v may lie in one [T, 3 D] product of a linear layer: each has its own row stride; head h
// is elements [h * head_size, (h + 1) * head_size) of a row. Logits, softmax and sums are float32;
// for the half types the softmax's numerators are rounded to T, as tensor cores read them.
struct AttentionArgs {
  ElementType type = ElementType::kFloat32;
  const void* q = nullptr;  // T
  const void* k = nullptr;  // T
  const void* v = nullptr;  // T
  int q_stride = 0;         // elements from one row to the next
  int k_stride = 0;
  int v_stride = 0;
  const Segment* segments = nullptr;  // [images] on the device
  const float* log_size = nullptr;    // [T], or null: every token stands for one patch
  void* out = nullptr;                // T, rows of heads * head_size
  Queries queries = Queries::kAllRows;
  int query_rows = 0;  // read unless all rows ask
  int images = 0;
  int max_tokens = 0;  // of any image
  int heads = 0;
  int head_size = 0;
  float scale = 0;
};

// REQUIRES: scale > 0; head_size a multiple of 8, at most 128; strides multiples of 8; k, v, q and
// out on 16 bytes. Otherwise cudaErrorInvalidValue.
cudaError_t Attention(const AttentionArgs& args, cudaStream_t stream);

}  // namespace tome::kernels

#endif  // TOME_SERVER_KERNELS_ATTENTION_H_
