#ifndef TOME_SERVER_KERNELS_ATTENTION_FLOAT_CUH_
#define TOME_SERVER_KERNELS_ATTENTION_FLOAT_CUH_

#include "server/kernels/attention_shape.cuh"
#include "server/kernels/dot.cuh"
#include "server/kernels/ptx.cuh"

namespace tome::kernels {

inline constexpr int kMaxFloatsPerLane = 4;  // of a head's 128 elements at most

constexpr size_t FloatAttentionBytes(int head_size) {
  return sizeof(float) * (static_cast<size_t>(kFloatWarps) * kFloatQueriesPerWarp * head_size +
                          static_cast<size_t>(kFloatKeyTile) * (2 * head_size + kFloatPadding + 1));
}

// Float32 attention by FMA. Grid: (query blocks, heads, images). A warp takes four queries; of a
// tile's 32 keys each lane takes one's logits, then of the sums every 32nd element. Shared memory:
// FloatAttentionBytes.
__global__ void __launch_bounds__(kFloatWarps* kWarp)
    FloatAttentionKernel(AttentionInput<float> in) {
  constexpr int kThreads = kFloatWarps * kWarp;
  constexpr int kQueriesPerBlock = kFloatWarps * kFloatQueriesPerWarp;
  const AttentionRows<float> rows(in, static_cast<int>(blockIdx.z), static_cast<int>(blockIdx.y));
  const int first_query = static_cast<int>(blockIdx.x) * kQueriesPerBlock;
  if (first_query >= rows.queries) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int own = static_cast<int>(threadIdx.x) / kWarp * kFloatQueriesPerWarp;
  const int size = in.head_size;
  const int k_stride = size + kFloatPadding;
  auto* q = reinterpret_cast<float*>(SharedMemory());
  float* k = q + kQueriesPerBlock * size;
  float* v = k + kFloatKeyTile * k_stride;
  float* bias = v + kFloatKeyTile * size;

  LoadFloatTile<kQueriesPerBlock, kThreads>(rows.q, in.q_stride, first_query, rows.queries, size, q,
                                            size);
  float sum[kFloatQueriesPerWarp][kMaxFloatsPerLane] = {};
  float maximum[kFloatQueriesPerWarp];
  float total[kFloatQueriesPerWarp] = {};
#pragma unroll
  for (float& value : maximum) value = -INFINITY;

  for (int first = 0; first < rows.tokens; first += kFloatKeyTile) {
    __syncthreads();
    LoadFloatTile<kFloatKeyTile, kThreads>(rows.k, in.k_stride, first, rows.tokens, size, k,
                                           k_stride);
    LoadFloatTile<kFloatKeyTile, kThreads>(rows.v, in.v_stride, first, rows.tokens, size, v, size);
    if (threadIdx.x < kFloatKeyTile) {
      const int key = first + lane;
      bias[lane] = key >= rows.tokens         ? -INFINITY
                   : rows.log_size == nullptr ? 0.0f
                                              : rows.log_size[key] * kLog2E;
    }
    __syncthreads();

    float logits[kFloatQueriesPerWarp][1] = {};
    DotRows<kFloatQueriesPerWarp, 1>(q + own * size, size, k + lane * k_stride, 0, size, logits);
    float weight[kFloatQueriesPerWarp];
#pragma unroll
    for (int i = 0; i < kFloatQueriesPerWarp; ++i) {
      weight[i] = fmaf(logits[i][0], in.scale_log2, bias[lane]);
      float highest = fmaxf(maximum[i], weight[i]);
      for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
        highest = fmaxf(highest, __shfl_xor_sync(kAllLanes, highest, lanes));
      }
      // Nothing but minus infinity so far: no weight, rather than infinity minus infinity.
      const float base = highest == -INFINITY ? 0.0f : highest;
      const float faded = ptx::Exp2(maximum[i] - base);
      maximum[i] = highest;
      weight[i] = ptx::Exp2(weight[i] - base);
      total[i] = fmaf(total[i], faded, weight[i]);
#pragma unroll
      for (float& value : sum[i]) value *= faded;
    }
    for (int key = 0; key < kFloatKeyTile; ++key) {
      float values[kMaxFloatsPerLane];
#pragma unroll
      for (int j = 0; j < kMaxFloatsPerLane; ++j) {
        values[j] = lane + j * kWarp < size ? v[key * size + lane + j * kWarp] : 0.0f;
      }
#pragma unroll
      for (int i = 0; i < kFloatQueriesPerWarp; ++i) {
        const float key_weight = __shfl_sync(kAllLanes, weight[i], key);
#pragma unroll
        for (int j = 0; j < kMaxFloatsPerLane; ++j) {
          sum[i][j] = fmaf(key_weight, values[j], sum[i][j]);
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kFloatQueriesPerWarp; ++i) {
    const float share = 1.0f / WarpSum(total[i]);
    const int query = first_query + own + i;
    if (query >= rows.queries) continue;
#pragma unroll
    for (int j = 0; j < kMaxFloatsPerLane; ++j) {
      if (lane + j * kWarp < size) {
        rows.out[static_cast<int64_t>(query) * in.width + lane + j * kWarp] = sum[i][j] * share;
      }
    }
  }
}

}  // namespace tome::kernels

#endif  // TOME_SERVER_KERNELS_ATTENTION_FLOAT_CUH_
