#ifndef TOME_SERVER_KERNELS_ATTENTION_TENSOR_CORE_CUH_
#define TOME_SERVER_KERNELS_ATTENTION_TENSOR_CORE_CUH_

#include "server/kernels/attention_plan.h"
#include "server/kernels/attention_shape.cuh"
#include "server/kernels/launch.cuh"
#include "server/kernels/ptx.cuh"

// Attention on tensor cores (mma.m16n8k16). The fragments' names are the PTX ISA's: with group =
// lane / 4 and t = lane % 4, a lane holds of 16 queries the rows group and group + 8, and of every
// eight columns the two from 2 t on.
namespace tome::kernels {

// K, V and the biases in shared memory: rows [0, rows) of keys, as a ring if that is fewer than the
// image has.
template <typename T, int kHeadSize>
struct KeyRing {
  static constexpr int kStride = kHeadSize + kHalfPadding;

  T* k;
  T* v;
  float* bias;

  static constexpr size_t Bytes(int rows) {
    return static_cast<size_t>(rows) * (2 * kStride * sizeof(T) + sizeof(float));
  }

  __device__ KeyRing(unsigned char* shared, int rows)
      : k(reinterpret_cast<T*>(shared)),
        v(k + rows * kStride),
        bias(reinterpret_cast<float*>(v + rows * kStride)) {}

  // Starts to copy the image's keys [first, first + kKeyTile), as far as there are any, to the
  // ring's rows from `row` on. By all threads; visible after a wait and a barrier.
  __device__ __forceinline__ void Load(const AttentionInput<T>& in, const AttentionRows<T>& rows,
                                       int first, int row, int threads) {
    constexpr int kAccesses = kHeadSize / kElementsPerAccess;
    const int left = (rows.tokens - first + kKeyGroup - 1) / kKeyGroup * kKeyGroup;
    const int keys = left < kKeyTile ? left : kKeyTile;
    for (int i = static_cast<int>(threadIdx.x); i < keys * kAccesses; i += threads) {
      const int key = i / kAccesses;
      const int column = i % kAccesses * kElementsPerAccess;
      const bool there = first + key < rows.tokens && column < in.head_size;
      const int64_t from = there ? first + key : 0;
      const int bytes = there ? 16 : 0;
      const int to = (row + key) * kStride + column;
      ptx::CopyAsync16(k + to, rows.k + from * in.k_stride + (there ? column : 0), bytes);
      ptx::CopyAsync16(v + to, rows.v + from * in.v_stride + (there ? column : 0), bytes);
    }
    for (int key = static_cast<int>(threadIdx.x); key < keys; key += threads) {
      bias[row + key] = rows.Bias(first + key);
    }
    ptx::CommitCopies();
  }
};

// 16 queries of a warp on their way through the keys: online softmax in base 2.
template <typename T, int kHeadSize>
struct QueryTile {
  static constexpr int kStride = KeyRing<T, kHeadSize>::kStride;

  uint32_t q[kHeadSize / 16][4];  // A fragments
  float sum[kHeadSize / 8][4];    // of weights times values: C fragments
  float maximum[2];               // of the logits so far, rows group and group + 8
  float total[2];                 // of the weights, this lane's columns alone

  // Queries [first, first + 16); those behind the last are zero.
  __device__ __forceinline__ void Start(const AttentionInput<T>& in, const AttentionRows<T>& rows,
                                        int first) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int i = 0; i < kHeadSize / 16; ++i) {
#pragma unroll
      for (int part = 0; part < 4; ++part) {
        const int row = first + lane / 4 + part % 2 * 8;
        const int column = i * 16 + part / 2 * 8 + lane % 4 * 2;
        q[i][part] = row < rows.queries && column < in.head_size
                         ? *reinterpret_cast<const uint32_t*>(rows.q + row * in.q_stride + column)
                         : 0;
      }
    }
#pragma unroll
    for (auto& part : sum) {
#pragma unroll
      for (float& value : part) value = 0;
    }
    maximum[0] = maximum[1] = -INFINITY;
    total[0] = total[1] = 0;
  }

  // Meets kKeys keys, at rows `row` and on of the ring.
  template <int kKeys>
  __device__ __forceinline__ void Meet(const KeyRing<T, kHeadSize>& ring, int row,
                                       float scale_log2) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    // Where this lane's row of ldmatrix starts: of K, matrices 0 and 1 are dimensions 0-7 and 8-15
    // of keys 0-7, 2 and 3 of keys 8-15; of V, transposed, 0 and 1 are keys 0-7 and 8-15.
    const T* k_row = ring.k + (row + lane / 16 * 8 + lane % 8) * kStride + lane / 8 % 2 * 8;
    const T* v_row = ring.v + (row + lane / 8 % 2 * 8 + lane % 8) * kStride + lane / 16 * 8;

    float logits[kKeys / 8][4];
#pragma unroll
    for (auto& part : logits) {
#pragma unroll
      for (float& value : part) value = 0;
    }
#pragma unroll
    for (int i = 0; i < kHeadSize / 16; ++i) {
#pragma unroll
      for (int j = 0; j < kKeys / 16; ++j) {
        uint32_t k[4];
        ptx::LoadMatrix4(k, k_row + j * 16 * kStride + i * 16);
        ptx::MultiplyAdd(logits[2 * j], q[i], {k[0], k[1]}, T());
        ptx::MultiplyAdd(logits[2 * j + 1], q[i], {k[2], k[3]}, T());
      }
    }

    float highest[2] = {maximum[0], maximum[1]};
#pragma unroll
    for (int j = 0; j < kKeys / 8; ++j) {
      const float2 bias = *reinterpret_cast<const float2*>(ring.bias + row + j * 8 + lane % 4 * 2);
#pragma unroll
      for (int part = 0; part < 4; ++part) {
        logits[j][part] = fmaf(logits[j][part], scale_log2, part % 2 == 0 ? bias.x : bias.y);
        highest[part / 2] = fmaxf(highest[part / 2], logits[j][part]);
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      highest[half] = fmaxf(highest[half], __shfl_xor_sync(kAllLanes, highest[half], 1));
      highest[half] = fmaxf(highest[half], __shfl_xor_sync(kAllLanes, highest[half], 2));
      // Nothing but minus infinity so far: no weight, rather than infinity minus infinity.
      const float base = highest[half] == -INFINITY ? 0.0f : highest[half];
      const float faded = ptx::Exp2(maximum[half] - base);
      maximum[half] = highest[half];
      highest[half] = base;
      total[half] *= faded;
#pragma unroll
      for (auto& part : sum) {
        part[2 * half] *= faded;
        part[2 * half + 1] *= faded;
      }
    }
#pragma unroll
    for (auto& part : logits) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        part[i] = ptx::Exp2(part[i] - highest[i / 2]);
        total[i / 2] += part[i];
      }
    }

#pragma unroll
    for (int j = 0; j < kKeys / 16; ++j) {
      // Two C fragments of weights are the A fragment of their 16 keys.
      const uint32_t weights[4] = {Pack<T>(logits[2 * j][0], logits[2 * j][1]),
                                   Pack<T>(logits[2 * j][2], logits[2 * j][3]),
                                   Pack<T>(logits[2 * j + 1][0], logits[2 * j + 1][1]),
                                   Pack<T>(logits[2 * j + 1][2], logits[2 * j + 1][3])};
#pragma unroll
      for (int i = 0; i < kHeadSize / 16; ++i) {
        uint32_t v[4];
        ptx::LoadMatrix4Transposed(v, v_row + j * 16 * kStride + i * 16);
        ptx::MultiplyAdd(sum[2 * i], weights, {v[0], v[1]}, T());
        ptx::MultiplyAdd(sum[2 * i + 1], weights, {v[2], v[3]}, T());
      }
    }
  }

  // Writes queries [first, first + 16) as far as there are any.
  __device__ __forceinline__ void Finish(const AttentionInput<T>& in, const AttentionRows<T>& rows,
                                         int first) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      total[half] += __shfl_xor_sync(kAllLanes, total[half], 1);
      total[half] += __shfl_xor_sync(kAllLanes, total[half], 2);
      const float share = 1.0f / total[half];
      const int row = first + lane / 4 + half * 8;
      if (row >= rows.queries) continue;
      T* out = rows.out + static_cast<int64_t>(row) * in.width + lane % 4 * 2;
#pragma unroll
      for (int i = 0; i < kHeadSize / 8; ++i) {
        if (i * 8 < in.head_size) {
          *reinterpret_cast<uint32_t*>(out + i * 8) =
              Pack<T>(sum[i][2 * half] * share, sum[i][2 * half + 1] * share);
        }
      }
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

// Grid: (query blocks, heads, images); AttentionPlan's warps and shared memory, which holds
// `ring_rows` rows.
template <typename T, int kHeadSize>
__global__ void __launch_bounds__(kMaxAttentionWarps* kWarp, kHeadSize <= 64 ? 2 : 1)
    TensorCoreAttentionKernel(AttentionInput<T> in, int warps, int ring_rows) {
  const AttentionRows<T> rows(in, static_cast<int>(blockIdx.z), static_cast<int>(blockIdx.y));
  const int first_query = static_cast<int>(blockIdx.x) * in.queries_per_block;
  if (first_query >= rows.queries) return;
  const int end = rows.queries - first_query < in.queries_per_block
                      ? rows.queries
                      : first_query + in.queries_per_block;
  const int threads = warps * kWarp;
  const int tiles = (rows.tokens + kKeyTile - 1) / kKeyTile;
  KeyRing<T, kHeadSize> ring(SharedMemory(), ring_rows);
  const auto ring_row = [&](int tile) { return (in.resident ? tile : tile % kStages) * kKeyTile; };

  const int loaded_ahead = in.resident ? tiles : 1;
  for (int tile = 0; tile < loaded_ahead; ++tile) {
    ring.Load(in, rows, tile * kKeyTile, ring_row(tile), threads);
  }
  QueryTile<T, kHeadSize> queries;
  bool first_round = true;
  for (int round = first_query; round < end; round += warps * kQueriesPerWarp) {
    const int first = round + static_cast<int>(threadIdx.x) / kWarp * kQueriesPerWarp;
    const bool has_queries = first < end;
    if (has_queries) queries.Start(in, rows, first);
    for (int tile = 0; tile < tiles; ++tile) {
      if (!in.resident && tile + 1 < tiles) {
        ring.Load(in, rows, (tile + 1) * kKeyTile, ring_row(tile + 1), threads);
      }
      if (first_round) {
        const int pending = in.resident ? tiles - 1 - tile : tile + 1 < tiles ? 1 : 0;
        WaitForAllBut(pending);
        __syncthreads();
      }
      if (has_queries) {
        const int row = ring_row(tile);
        const int left = rows.tokens - tile * kKeyTile;
        if (left >= kKeyTile) {
          queries.template Meet<kKeyTile>(ring, row, in.scale_log2);
        } else {
          for (int key = 0; key < left; key += kKeyGroup) {
            queries.template Meet<kKeyGroup>(ring, row + key, in.scale_log2);
          }
        }
      }
      if (!in.resident) __syncthreads();
    }
    if (has_queries) queries.Finish(in, rows, first);
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
      .threads = plan.warps * kWarp,
      .shared_bytes = plan.shared_bytes};
  const int ring_rows = RingRows(plan.resident, args.max_tokens);
  const auto launch = [&](void (*kernel)(AttentionInput<T>, int, int)) {
    return Launch(kernel, shape, stream, in, plan.warps, ring_rows);
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
