#ifndef TOME_SERVER_KERNELS_ATTENTION_TENSOR_CORE_CUH_
#define TOME_SERVER_KERNELS_ATTENTION_TENSOR_CORE_CUH_

#include "server/kernels/attention_plan.h"
#include "server/kernels/attention_shape.cuh"
#include "server/kernels/launch.cuh"
#include "server/kernels/ptx.cuh"

// Attention on tensor cores (mma.m16n8k16). The fragments' names are the PTX ISA's: with group =
// lane / 4 and t = lane % 4, a lane holds of a tile of 16 queries the rows group and group + 8, and
// of every eight columns the two from 2 t on.
namespace tome::kernels {

// K, V and what is added to the logits in shared memory: rows [0, rows) of keys, as a ring if that
// is fewer than the image has.
template <typename T, int kHeadSize>
struct KeyRing {
  static constexpr int kStride = kHeadSize + kHalfPadding;

  T* k;
  T* v;
  float* bias;

  __device__ KeyRing(unsigned char* shared, int rows)
      : k(reinterpret_cast<T*>(shared)),
        v(k + rows * kStride),
        bias(reinterpret_cast<float*>(v + rows * kStride)) {}

  // Starts to copy the image's keys [first, first + kKeyTile), as far as there are any, to the
  // ring's rows from `row` on; behind the last key, zeros to a whole group. By all threads, kLanes
  // of them a row; visible after a wait and a barrier.
  __device__ __forceinline__ void Load(const AttentionInput<T>& in, const AttentionRows<T>& rows,
                                       int first, int row, int threads) {
    constexpr int kAccesses = kHeadSize / kElementsPerAccess;
    constexpr int kLanes = kAccesses % 16 == 0 ? 16 : kAccesses == 4 ? 4 : 8;
    const int left = (rows.tokens - first + kKeyGroup - 1) / kKeyGroup * kKeyGroup;
    const int keys = min(left, kKeyTile);
    const int lane = static_cast<int>(threadIdx.x) % kLanes;
    const int own = static_cast<int>(threadIdx.x) / kLanes;
    const int step = threads / kLanes;
#pragma unroll
    for (int access = lane; access < kAccesses; access += kLanes) {
      const int column = access * kElementsPerAccess;
      const bool in_head = column < in.head_size;
      const T* k_from = rows.k + (first + own) * in.k_stride + column;
      const T* v_from = rows.v + (first + own) * in.v_stride + column;
      T* k_to = k + (row + own) * kStride + column;
      T* v_to = v + (row + own) * kStride + column;
      for (int key = own; key < keys; key += step) {
        // Nothing is read where no byte is asked for.
        const int bytes = in_head && first + key < rows.tokens ? 16 : 0;
        ptx::CopyAsync16(k_to, k_from, bytes);
        ptx::CopyAsync16(v_to, v_from, bytes);
        k_from += step * in.k_stride;
        v_from += step * in.v_stride;
        k_to += step * kStride;
        v_to += step * kStride;
      }
    }
    ptx::CommitCopies();
  }

  // What is added to the logits of keys [first, first + keys); nothing where there are no sizes.
  __device__ __forceinline__ void LoadBias(const AttentionRows<T>& rows, int first, int row,
                                           int keys, int threads) {
    if (rows.log_size == nullptr) return;
    for (int key = static_cast<int>(threadIdx.x); key < keys; key += threads) {
      bias[row + key] = first + key < rows.tokens ? rows.log_size[first + key] * kLog2E : 0.0f;
    }
  }
};

// Up to kTiles times 16 queries of a warp on their way through the keys: online softmax in base 2.
template <typename T, int kHeadSize, int kTiles>
struct QueryTiles {
  static constexpr int kStride = KeyRing<T, kHeadSize>::kStride;

  uint32_t q[kTiles][kHeadSize / 16][4];  // A fragments
  float sum[kTiles][kHeadSize / 8][4];    // of weights times values: C fragments
  float base[kTiles][2];                  // what weights are relative to, rows group and group + 8
  float total[kTiles][2];                 // of the weights, this lane's columns alone

  // Queries from `first` on; behind the last one it is taken again, and not written.
  template <int kActive>
  __device__ __forceinline__ void Start(const AttentionInput<T>& in, const AttentionRows<T>& rows,
                                        int first) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int tile = 0; tile < kActive; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = min(first + tile * kQueriesPerTile + half * 8 + lane / 4, rows.queries - 1);
        const T* from = rows.q + row * in.q_stride + lane % 4 * 2;
#pragma unroll
        for (int i = 0; i < kHeadSize / 8; ++i) {
          q[tile][i / 2][half + i % 2 * 2] =
              i * 8 < in.head_size ? *reinterpret_cast<const uint32_t*>(from + i * 8) : 0;
        }
        base[tile][half] = -INFINITY;
        total[tile][half] = 0;
      }
#pragma unroll
      for (auto& part : sum[tile]) {
#pragma unroll
        for (float& value : part) value = 0;
      }
    }
  }

  // The first kActive tiles meet kKeys keys, at rows `row` and on of the ring; of these `left` are
  // the image's, all of them if they are more than a group.
  template <int kKeys, int kActive>
  __device__ __forceinline__ void Meet(const KeyRing<T, kHeadSize>& ring, int row, int left,
                                       bool with_bias, float scale_log2) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    // Where this lane's row of ldmatrix starts: of K, matrices 0 and 1 are dimensions 0-7 and 8-15
    // of keys 0-7, 2 and 3 of keys 8-15; of V, transposed, 0 and 1 are keys 0-7 and 8-15.
    const T* k_row = ring.k + (row + lane / 16 * 8 + lane % 8) * kStride + lane / 8 % 2 * 8;
    const T* v_row = ring.v + (row + lane / 8 % 2 * 8 + lane % 8) * kStride + lane / 16 * 8;

    float logits[kActive][kKeys / 8][4];
#pragma unroll
    for (auto& tile : logits) {
#pragma unroll
      for (auto& part : tile) {
#pragma unroll
        for (float& value : part) value = 0;
      }
    }
#pragma unroll
    for (int i = 0; i < kHeadSize / 16; ++i) {
#pragma unroll
      for (int j = 0; j < kKeys / 16; ++j) {
        uint32_t k[4];
        ptx::LoadMatrix4(k, k_row + j * 16 * kStride + i * 16);
#pragma unroll
        for (int tile = 0; tile < kActive; ++tile) {
          ptx::MultiplyAdd(logits[tile][2 * j], q[tile][i], {k[0], k[1]}, T());
          ptx::MultiplyAdd(logits[tile][2 * j + 1], q[tile][i], {k[2], k[3]}, T());
        }
      }
    }

    if constexpr (kKeys == kKeyGroup) {
      // Behind the last key there is none.
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
        for (int part = 0; part < 4; ++part) {
          if (j * 8 + lane % 4 * 2 + part % 2 >= left) {
#pragma unroll
            for (auto& tile : logits) tile[j][part] = -INFINITY;
          }
        }
      }
    }
    const float* bias = ring.bias + row + lane % 4 * 2;
#pragma unroll
    for (int tile = 0; tile < kActive; ++tile) {
      if (with_bias) {
        Weigh<true>(logits[tile], tile, bias, scale_log2);
      } else {
        Weigh<false>(logits[tile], tile, bias, scale_log2);
      }
    }

#pragma unroll
    for (int j = 0; j < kKeys / 16; ++j) {
      // Two C fragments of weights are the A fragment of their 16 keys.
      uint32_t weights[kActive][4];
#pragma unroll
      for (int tile = 0; tile < kActive; ++tile) {
        const float(&low)[4] = logits[tile][2 * j];
        const float(&high)[4] = logits[tile][2 * j + 1];
        weights[tile][0] = Pack<T>(low[0], low[1]);
        weights[tile][1] = Pack<T>(low[2], low[3]);
        weights[tile][2] = Pack<T>(high[0], high[1]);
        weights[tile][3] = Pack<T>(high[2], high[3]);
      }
#pragma unroll
      for (int i = 0; i < kHeadSize / 16; ++i) {
        uint32_t v[4];
        ptx::LoadMatrix4Transposed(v, v_row + j * 16 * kStride + i * 16);
#pragma unroll
        for (int tile = 0; tile < kActive; ++tile) {
          ptx::MultiplyAdd(sum[tile][2 * i], weights[tile], {v[0], v[1]}, T());
          ptx::MultiplyAdd(sum[tile][2 * i + 1], weights[tile], {v[2], v[3]}, T());
        }
      }
    }
  }

  // Writes the first kActive tiles' queries as far as there are any.
  template <int kActive>
  __device__ __forceinline__ void Finish(const AttentionInput<T>& in, const AttentionRows<T>& rows,
                                         int first) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int tile = 0; tile < kActive; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float all = total[tile][half];
        all += __shfl_xor_sync(kAllLanes, all, 1);
        all += __shfl_xor_sync(kAllLanes, all, 2);
        const float share = 1.0f / all;
        const int row = first + tile * kQueriesPerTile + lane / 4 + half * 8;
        if (row >= rows.queries) continue;
        T* out = rows.out + static_cast<int64_t>(row) * in.width + lane % 4 * 2;
#pragma unroll
        for (int i = 0; i < kHeadSize / 8; ++i) {
          if (i * 8 < in.head_size) {
            *reinterpret_cast<uint32_t*>(out + i * 8) =
                Pack<T>(sum[tile][i][2 * half] * share, sum[tile][i][2 * half + 1] * share);
          }
        }
      }
    }
  }

 private:
  // Weights are relative to a logit that is at most this far (in powers of two) below the highest:
  // what was summed before has to fade only when a maximum rises by more, which is seldom.
  static constexpr float kSlack = 8;

  // Logits become weights: 2^(logit scale_log2 + bias - base). Without sizes as if all were zero,
  // to the bit.
  template <bool kWithBias, int kParts>
  __device__ __forceinline__ void Weigh(float (&logits)[kParts][4], int tile, const float* bias,
                                        float scale_log2) {
    float highest[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int j = 0; j < kParts; ++j) {
      float scaled[4];
      if constexpr (kWithBias) {
        const float2 biases = *reinterpret_cast<const float2*>(bias + j * 8);
        scaled[0] = fmaf(logits[j][0], scale_log2, biases.x);
        scaled[1] = fmaf(logits[j][1], scale_log2, biases.y);
        scaled[2] = fmaf(logits[j][2], scale_log2, biases.x);
        scaled[3] = fmaf(logits[j][3], scale_log2, biases.y);
      } else {
#pragma unroll
        for (int part = 0; part < 4; ++part) scaled[part] = logits[j][part];
      }
      highest[0] = fmaxf(highest[0], fmaxf(scaled[0], scaled[1]));
      highest[1] = fmaxf(highest[1], fmaxf(scaled[2], scaled[3]));
    }
    float faded[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      highest[half] = fmaxf(highest[half], __shfl_xor_sync(kAllLanes, highest[half], 1));
      highest[half] = fmaxf(highest[half], __shfl_xor_sync(kAllLanes, highest[half], 2));
      if constexpr (!kWithBias) highest[half] *= scale_log2;
      const float before = base[tile][half];
      if (highest[half] > before + kSlack) base[tile][half] = highest[half];
      faded[half] = before == base[tile][half] ? 1.0f : ptx::Exp2(before - base[tile][half]);
    }
    // A product with one changes nothing.
    if (__ballot_sync(kAllLanes, faded[0] != 1.0f || faded[1] != 1.0f) != 0) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        total[tile][half] *= faded[half];
#pragma unroll
        for (auto& part : sum[tile]) {
          part[2 * half] *= faded[half];
          part[2 * half + 1] *= faded[half];
        }
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      // Nothing but minus infinity so far: no weight, rather than infinity minus infinity.
      const float shift = base[tile][half] == -INFINITY ? 0.0f : -base[tile][half];
      float weights = 0;
#pragma unroll
      for (int j = 0; j < kParts; ++j) {
        float2 shifts = make_float2(shift, shift);
        if constexpr (kWithBias) {
          const float2 biases = *reinterpret_cast<const float2*>(bias + j * 8);
          shifts = make_float2(biases.x + shift, biases.y + shift);
        }
        float(&pair)[4] = logits[j];
        pair[2 * half] = ptx::Exp2(fmaf(pair[2 * half], scale_log2, shifts.x));
        pair[2 * half + 1] = ptx::Exp2(fmaf(pair[2 * half + 1], scale_log2, shifts.y));
        weights += pair[2 * half] + pair[2 * half + 1];
      }
      total[tile][half] += weights;
    }
  }
};

// Waits until at most `pending` of the thread's groups are under way, or fewer.
__device__ __forceinline__ void WaitForAllBut(int pending) {
  if (pending >= 3) {
    ptx::WaitForCopies<3>();
  } else if (pending == 2) {
    ptx::WaitForCopies<2>();
  } else if (pending == 1) {
    ptx::WaitForCopies<1>();
  } else {
    ptx::WaitForCopies<0>();
  }
}

// Tiles of queries that a warp takes through the keys together: two, so that each part of K and V
// comes from shared memory once for 32 queries, as far as registers allow.
template <int kHeadSize>
inline constexpr int kTilesPerWarp = kHeadSize <= 96 ? 2 : 1;
// Keys met at once: logits live in registers.
template <int kHeadSize>
inline constexpr int kKeysAtOnce = kHeadSize <= 64 ? kKeyTile : 2 * kKeyGroup;

// Grid: (query blocks, heads, images); kAttentionWarps warps, AttentionPlan's shared memory, which
// holds `ring_rows` rows.
template <typename T, int kHeadSize>
__global__ void __launch_bounds__(kAttentionWarps* kWarp, 2)
    TensorCoreAttentionKernel(AttentionInput<T> in, int ring_rows) {
  constexpr int kTiles = kTilesPerWarp<kHeadSize>;
  constexpr int kKeys = kKeysAtOnce<kHeadSize>;
  const AttentionRows<T> rows(in, static_cast<int>(blockIdx.z), static_cast<int>(blockIdx.y));
  const int first_query = static_cast<int>(blockIdx.x) * in.queries_per_block;
  if (first_query >= rows.queries) return;
  const int end = rows.queries - first_query < in.queries_per_block
                      ? rows.queries
                      : first_query + in.queries_per_block;
  constexpr int kThreads = kAttentionWarps * kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int tiles = (rows.tokens + kKeyTile - 1) / kKeyTile;
  const bool with_bias = rows.log_size != nullptr;
  KeyRing<T, kHeadSize> ring(SharedMemory(), ring_rows);
  const auto ring_row = [&](int tile) { return (in.resident ? tile : tile % kStages) * kKeyTile; };

  const int loaded_ahead = in.resident ? tiles : 1;
  for (int tile = 0; tile < loaded_ahead; ++tile) {
    ring.Load(in, rows, tile * kKeyTile, ring_row(tile), kThreads);
  }
  ring.LoadBias(rows, 0, 0,
                in.resident ? (rows.tokens + kKeyGroup - 1) / kKeyGroup * kKeyGroup : kKeyTile,
                kThreads);
  QueryTiles<T, kHeadSize, kTiles> queries;
  bool first_round = true;
  for (int round = first_query; round < end; round += kAttentionWarps * in.queries_per_warp) {
    const int first = round + warp * in.queries_per_warp;
    // Of this warp's tiles those that have queries.
    const int active =
        (min(end - first, in.queries_per_warp) + kQueriesPerTile - 1) / kQueriesPerTile;
    if (active == 1) queries.template Start<1>(in, rows, first);
    if (active > 1) queries.template Start<kTiles>(in, rows, first);
    for (int tile = 0; tile < tiles; ++tile) {
      if (!in.resident && tile + 1 < tiles) {
        ring.Load(in, rows, (tile + 1) * kKeyTile, ring_row(tile + 1), kThreads);
        ring.LoadBias(rows, (tile + 1) * kKeyTile, ring_row(tile + 1), kKeyTile, kThreads);
      }
      if (first_round) {
        const int pending = in.resident ? tiles - 1 - tile : tile + 1 < tiles ? 1 : 0;
        WaitForAllBut(pending);
        __syncthreads();
      }
      const int row = ring_row(tile);
      const int keys = min(rows.tokens - tile * kKeyTile, kKeyTile);
      const auto meet = [&]<int kActive>(std::integral_constant<int, kActive>) {
        int key = 0;
        for (; key + kKeys <= keys; key += kKeys) {
          queries.template Meet<kKeys, kActive>(ring, row + key, kKeys, with_bias, in.scale_log2);
        }
        for (; key < keys; key += kKeyGroup) {
          queries.template Meet<kKeyGroup, kActive>(ring, row + key, keys - key, with_bias,
                                                    in.scale_log2);
        }
      };
      if (active == 1) meet(std::integral_constant<int, 1>());
      if (active > 1) meet(std::integral_constant<int, kTiles>());
      if (!in.resident) __syncthreads();
    }
    if (active == 1) queries.template Finish<1>(in, rows, first);
    if (active > 1) queries.template Finish<kTiles>(in, rows, first);
    first_round = false;
  }
}

// The rows of K and V that `plan` keeps in shared memory for images of at most `max_tokens`.
inline int RingRows(bool resident, int max_tokens) {
  return resident ? CeilDiv(max_tokens, kKeyGroup) * kKeyGroup : kStages * kKeyTile;
}

// Instantiated for each half type in a file of its own, so that they compile side by side.
template <typename T>
cudaError_t LaunchTensorCoreAttention(const AttentionInput<T>& in, const AttentionPlan& plan,
                                      const AttentionArgs& args, cudaStream_t stream) {
  const LaunchShape shape = {
      .grid = dim3(static_cast<unsigned int>(plan.query_blocks),
                   static_cast<unsigned int>(args.heads), static_cast<unsigned int>(args.images)),
      .threads = kAttentionWarps * kWarp,
      .shared_bytes = plan.shared_bytes};
  const int ring_rows = RingRows(plan.resident, args.max_tokens);
  const auto launch = [&](void (*kernel)(AttentionInput<T>, int)) {
    return Launch(kernel, shape, stream, in, ring_rows);
  };
  switch (PaddedHeadSize(args.head_size)) {
    case 32:
      return launch(TensorCoreAttentionKernel<T, 32>);
    case 64:
      return launch(TensorCoreAttentionKernel<T, 64>);
    case 80:
      return launch(TensorCoreAttentionKernel<T, 80>);
    case 96:
      return launch(TensorCoreAttentionKernel<T, 96>);
    case 112:
      return launch(TensorCoreAttentionKernel<T, 112>);
    case 128:
      return launch(TensorCoreAttentionKernel<T, 128>);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace tome::kernels

#endif  // TOME_SERVER_KERNELS_ATTENTION_TENSOR_CORE_CUH_
