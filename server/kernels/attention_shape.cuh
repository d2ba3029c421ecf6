#ifndef TOME_SERVER_KERNELS_ATTENTION_SHAPE_CUH_
#define TOME_SERVER_KERNELS_ATTENTION_SHAPE_CUH_

#include <cstddef>
#include <cstdint>

#include "server/kernels/attention.h"
#include "server/kernels/element.cuh"

namespace tome::kernels {

// Tensor cores: queries come in tiles of 16, keys in tiles of 64; of the last tile's keys as many
// groups of 16 as there are.
inline constexpr int kQueriesPerTile = 16;
inline constexpr int kKeyTile = 64;
inline constexpr int kKeyGroup = 16;
// Behind each row of K and V in shared memory: eight rows of ldmatrix then meet no bank twice.
inline constexpr int kHalfPadding = 8;
inline constexpr int kStages = 2;  // tiles in shared memory unless all are
inline constexpr int kAttentionWarps = 4;

// FMA: a warp takes four queries, a lane a key of each tile of 32.
inline constexpr int kFloatQueriesPerWarp = 4;
inline constexpr int kFloatWarps = 8;
inline constexpr int kFloatKeyTile = kWarp;

inline constexpr float kLog2E = 1.44269504f;

// What the kernels read, by value.
template <typename T>
struct AttentionInput {
  const T* q;
  const T* k;
  const T* v;
  int64_t q_stride;
  int64_t k_stride;
  int64_t v_stride;
  const Segment* segments;
  const float* log_size;
  T* out;
  Queries queries;
  int query_rows;
  int head_size;
  int width;             // heads * head_size
  float scale_log2;      // logits are powers of two: exp(x) = 2^(x log2 e)
  int queries_per_warp;  // at a time
  int queries_per_block;
  bool resident;
};

// One image's rows as a block finds them.
template <typename T>
struct AttentionRows {
  int tokens;
  int queries;
  const T* q;  // query 0
  const T* k;  // key 0, this head's elements
  const T* v;
  const float* log_size;
  T* out;  // query 0's

  __device__ AttentionRows(const AttentionInput<T>& in, int image, int head) {
    const Segment segment = in.segments[image];
    const int64_t offset = segment.offset;
    const int64_t column = static_cast<int64_t>(head) * in.head_size;
    tokens = segment.tokens;
    queries = in.queries == Queries::kAllRows ? tokens : in.query_rows;
    q = in.q + (in.queries == Queries::kShared ? 0 : offset * in.q_stride) + column;
    k = in.k + offset * in.k_stride + column;
    v = in.v + offset * in.v_stride + column;
    log_size = in.log_size == nullptr ? nullptr : in.log_size + offset;
    const int64_t first_out =
        in.queries == Queries::kAllRows ? offset : static_cast<int64_t>(image) * in.query_rows;
    out = in.out + first_out * in.width + column;
  }
};

}  // namespace tome::kernels

#endif  // TOME_SERVER_KERNELS_ATTENTION_SHAPE_CUH_
