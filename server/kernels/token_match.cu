#include <limits>

#include "server/kernels/dot.cuh"
#include "server/kernels/launch.cuh"
#include "server/kernels/token_match.h"

namespace tome::kernels {
namespace {

constexpr int kMaxHeadSize = 128;
constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarp;
constexpr float kLowest = -std::numeric_limits<float>::infinity();

// An image's rows of set A and set B that may merge: those behind the prefix. Counted among these,
// a is old row prefix_a + a of A, old position 2 (prefix_a + a); b likewise, position 2 (prefix_b +
// b) + 1.
struct Candidates {
  int prefix_a;
  int prefix_b;
  int a;
  int b;

  __device__ Candidates(int tokens, int prefix_tokens)
      : prefix_a((prefix_tokens + 1) / 2),
        prefix_b(prefix_tokens / 2),
        a((tokens + 1) / 2 - prefix_a),
        b(tokens / 2 - prefix_b) {}
  __device__ int PositionOfA(int index) const { return 2 * (prefix_a + index); }
  __device__ int PositionOfB(int index) const { return 2 * (prefix_b + index) + 1; }
};

// What the three kernels hand on, in the caller's workspace.
struct Workspace {
  float* metric;      // [T, head_size]
  float* best_score;  // [T], an image's from its offset on
  int* best_b;        // [T] likewise
};

// metric = mean of the keys over the heads, L2-normalised. A warp a token, a lane two columns of
// every 64; grid: (tokens / kWarps, images). Heads are added in order.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    MetricKernel(const T* __restrict__ keys, int key_stride, int heads, int head_size,
                 const Segment* segments, float* __restrict__ metric) {
  constexpr int kPairs = kMaxHeadSize / (2 * kWarp);
  const Segment segment = segments[blockIdx.y];
  const int token = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
  if (segment.merges == 0 || token >= segment.tokens) return;
  const int64_t row = segment.offset + token;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;

  float2 mean[kPairs];
  float squares = 0;
#pragma unroll
  for (int pair = 0; pair < kPairs; ++pair) {
    mean[pair] = make_float2(0, 0);
    const int column = 2 * (pair * kWarp + lane);
    if (column >= head_size) continue;
    const T* key = keys + row * key_stride + column;
#pragma unroll 8
    for (int head = 0; head < heads; ++head) {
      const float2 values = Load2(key + head * head_size);
      mean[pair].x += values.x;
      mean[pair].y += values.y;
    }
    mean[pair].x /= static_cast<float>(heads);
    mean[pair].y /= static_cast<float>(heads);
    squares = fmaf(mean[pair].x, mean[pair].x, squares);
    squares = fmaf(mean[pair].y, mean[pair].y, squares);
  }
  const float length = sqrtf(WarpSum(squares));
  const float divisor = length == 0 ? 1.0f : length;
#pragma unroll
  for (int pair = 0; pair < kPairs; ++pair) {
    const int column = 2 * (pair * kWarp + lane);
    if (column >= head_size) continue;
    *reinterpret_cast<float2*>(metric + row * head_size + column) =
        make_float2(mean[pair].x / divisor, mean[pair].y / divisor);
  }
}

constexpr int kTileA = 32;
constexpr int kRowsOfAPerWarp = kTileA / kWarps;
constexpr int kRowsOfBPerLane = 4;
constexpr int kTileB = kRowsOfBPerLane * kWarp;

constexpr size_t BestSharedBytes(int head_size) {
  return (static_cast<size_t>(kTileA) * head_size + kTileB * (head_size + kFloatPadding)) *
         sizeof(float);
}

// Each A's best B. A block kTileA rows of A, a warp four of them, a lane four of each tile's B;
// grid: (rows of A / kTileA, images). Shared memory: BestSharedBytes.
__global__ void __launch_bounds__(kThreads)
    BestKernel(Workspace workspace, int head_size, const Segment* segments, int prefix_tokens) {
  const Segment segment = segments[blockIdx.y];
  const Candidates candidates(segment.tokens, prefix_tokens);
  const int first_a = static_cast<int>(blockIdx.x) * kTileA;
  if (segment.merges == 0 || first_a >= candidates.a) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int row = static_cast<int>(threadIdx.x) / kWarp * kRowsOfAPerWarp;
  const float* metric = workspace.metric + static_cast<int64_t>(segment.offset) * head_size;
  const int stride_b = head_size + kFloatPadding;
  auto* tile_a = reinterpret_cast<float*>(SharedMemory());
  float* tile_b = tile_a + kTileA * head_size;

  LoadFloatTile<kTileA, kThreads>(metric + candidates.PositionOfA(0) * head_size, 2 * head_size,
                                  first_a, candidates.a, head_size, tile_a, head_size);
  float best_score[kRowsOfAPerWarp];
  int best_b[kRowsOfAPerWarp];
#pragma unroll
  for (int i = 0; i < kRowsOfAPerWarp; ++i) {
    best_score[i] = kLowest;
    best_b[i] = 0;
  }
  for (int first_b = 0; first_b < candidates.b; first_b += kTileB) {
    __syncthreads();
    LoadFloatTile<kTileB, kThreads>(metric + candidates.PositionOfB(0) * head_size, 2 * head_size,
                                    first_b, candidates.b, head_size, tile_b, stride_b);
    __syncthreads();
    float scores[kRowsOfAPerWarp][kRowsOfBPerLane] = {};
    DotRows<kRowsOfAPerWarp, kRowsOfBPerLane>(tile_a + row * head_size, head_size,
                                              tile_b + lane * stride_b, kWarp * stride_b, head_size,
                                              scores);
#pragma unroll
    for (int j = 0; j < kRowsOfBPerLane; ++j) {
      const int b = first_b + j * kWarp + lane;
#pragma unroll
      for (int i = 0; i < kRowsOfAPerWarp; ++i) {
        // Not so for a NaN, nor for minus infinity: they leave what is there.
        if (b < candidates.b && scores[i][j] > best_score[i]) {
          best_score[i] = scores[i][j];
          best_b[i] = b;
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kRowsOfAPerWarp; ++i) {
    for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
      const float score = __shfl_xor_sync(kAllLanes, best_score[i], lanes);
      const int b = __shfl_xor_sync(kAllLanes, best_b[i], lanes);
      if (score > best_score[i] || (score == best_score[i] && b < best_b[i])) {
        best_score[i] = score;
        best_b[i] = b;
      }
    }
    const int a = first_a + row + i;
    if (lane == 0 && a < candidates.a) {
      workspace.best_score[segment.offset + a] = best_score[i];
      workspace.best_b[segment.offset + a] = best_b[i];
    }
  }
}

// The lists that MatchTokens hands out.
struct Lists {
  int* own_row;
  int* first_source;
  int* source_count;
  int* source_row;
  int* row_after;
};

__host__ __device__ constexpr int RoundUpTo4(int count) { return (count + 3) / 4 * 4; }

// How many of `values` come before the value `own` at `index`: the higher, and of equals the
// earlier.
__device__ __forceinline__ int CountBefore(const float* values, int count, float own, int index) {
  int before = 0;
#pragma unroll 4
  for (int i = 0; i < count; i += 4) {
    const float4 four = *reinterpret_cast<const float4*>(values + i);
    before += four.x > own || (four.x == own && i < index);
    before += four.y > own || (four.y == own && i + 1 < index);
    before += four.z > own || (four.z == own && i + 2 < index);
    before += four.w > own || (four.w == own && i + 3 < index);
  }
  return before;
}

// Where a candidate stands among the A that merge; `joins` is the B that each joins, minus one for
// those that stay.
struct Standing {
  int joined_lower = 0;   // sources of the B in front of `b`
  int joined_same = 0;    // sources of `b`
  int same_before = 0;    // .. in front of `index`
  int merged_before = 0;  // A in front of `index` that merge

  __device__ Standing(const int* joins, int count, int b, int index) {
#pragma unroll 4
    for (int i = 0; i < count; i += 4) {
      const int4 four = *reinterpret_cast<const int4*>(joins + i);
      Count(four.x, i, b, index);
      Count(four.y, i + 1, b, index);
      Count(four.z, i + 2, b, index);
      Count(four.w, i + 3, b, index);
    }
  }

 private:
  __device__ __forceinline__ void Count(int joined, int place, int b, int index) {
    joined_lower += joined >= 0 && joined < b;
    joined_same += joined == b;
    same_before += joined == b && place < index;
    merged_before += joined >= 0 && place < index;
  }
};

// Selects the pairs of one image and writes its lists: a block an image, every place found by
// counting, so that no thread waits for another's. Shared memory: for each candidate of A its best
// score, its best B, and the B it joins (minus one: it stays).
__global__ void __launch_bounds__(kThreads)
    SelectKernel(Workspace workspace, const Segment* segments, const Segment* segments_after,
                 int prefix_tokens, int max_candidates, Lists lists) {
  const Segment segment = segments[blockIdx.x];
  const int new_offset = segments_after[blockIdx.x].offset;
  const int thread = static_cast<int>(threadIdx.x);
  const int untouched = segment.merges == 0 ? segment.tokens : prefix_tokens;
  for (int i = thread; i < untouched; i += kThreads) {
    lists.own_row[new_offset + i] = segment.offset + i;
    lists.first_source[new_offset + i] = segment.offset;
    lists.source_count[new_offset + i] = 0;
    lists.row_after[segment.offset + i] = new_offset + i;
  }
  if (segment.merges == 0) return;

  const Candidates candidates(segment.tokens, prefix_tokens);
  const int padded = RoundUpTo4(candidates.a);
  auto* score = reinterpret_cast<float*>(SharedMemory());
  auto* best = reinterpret_cast<int*>(score + max_candidates);
  int* joins = best + max_candidates;
  for (int a = thread; a < padded; a += kThreads) {
    score[a] = a < candidates.a ? workspace.best_score[segment.offset + a] : kLowest;
    best[a] = a < candidates.a ? workspace.best_b[segment.offset + a] : -1;
  }
  __syncthreads();
  for (int a = thread; a < padded; a += kThreads) {
    const bool merges =
        a < candidates.a && CountBefore(score, padded, score[a], a) < segment.merges;
    joins[a] = merges ? best[a] : -1;
  }
  __syncthreads();

  const int first_b_row = new_offset + prefix_tokens + candidates.a - segment.merges;
  for (int i = thread; i < candidates.a + candidates.b; i += kThreads) {
    const bool is_a = i < candidates.a;
    const int b = is_a ? joins[i] : i - candidates.a;
    const Standing standing(joins, padded, b, i);
    if (is_a && b >= 0) {
      const int old_row = segment.offset + candidates.PositionOfA(i);
      lists.row_after[old_row] = first_b_row + b;
      lists.source_row[segment.offset + standing.joined_lower + standing.same_before] = old_row;
      continue;
    }
    const int old_row =
        segment.offset + (is_a ? candidates.PositionOfA(i) : candidates.PositionOfB(b));
    const int row =
        is_a ? new_offset + prefix_tokens + i - standing.merged_before : first_b_row + b;
    lists.row_after[old_row] = row;
    lists.own_row[row] = old_row;
    lists.first_source[row] = segment.offset + (is_a ? 0 : standing.joined_lower);
    lists.source_count[row] = is_a ? 0 : standing.joined_same;
  }
}

}  // namespace

size_t TokenMatchWorkspaceBytes(int packed_tokens, int head_size) {
  return static_cast<size_t>(packed_tokens) *
         (head_size * sizeof(float) + sizeof(float) + sizeof(int));
}

cudaError_t MatchTokens(const TokenMatchArgs& args, cudaStream_t stream) {
  if (args.head_size <= 0 || args.head_size > kMaxHeadSize ||
      args.head_size % kElementsPerAccess != 0 || args.key_stride % kElementsPerAccess != 0 ||
      args.heads <= 0 || args.images < 0 || args.prefix_tokens < 0) {
    return cudaErrorInvalidValue;
  }
  auto* metric = static_cast<float*>(args.workspace);
  float* best_score = metric + static_cast<int64_t>(args.packed_tokens) * args.head_size;
  const Workspace workspace = {
      .metric = metric,
      .best_score = best_score,
      .best_b = reinterpret_cast<int*>(best_score + args.packed_tokens),
  };
  const auto images = static_cast<unsigned int>(args.images);
  const int max_a = (args.max_tokens + 1) / 2;
  const auto blocks = [&](int rows, int per_block) {
    return dim3(static_cast<unsigned int>(CeilDiv(rows, per_block)), images);
  };

  cudaError_t error = ForElementType(args.type, [&]<typename T>(std::type_identity<T>) {
    return Launch(MetricKernel<T>, {.grid = blocks(args.max_tokens, kWarps), .threads = kThreads},
                  stream, static_cast<const T*>(args.keys), args.key_stride, args.heads,
                  args.head_size, args.segments, metric);
  });
  if (error != cudaSuccess) return error;
  error = Launch(BestKernel,
                 {.grid = blocks(max_a, kTileA),
                  .threads = kThreads,
                  .shared_bytes = BestSharedBytes(args.head_size)},
                 stream, workspace, args.head_size, args.segments, args.prefix_tokens);
  if (error != cudaSuccess) return error;
  const int max_candidates = RoundUpTo4(max_a);
  return Launch(
      SelectKernel,
      {.grid = dim3(images),
       .threads = kThreads,
       .shared_bytes = max_candidates * (sizeof(float) + 2 * sizeof(int))},
      stream, workspace, args.segments, args.segments_after, args.prefix_tokens, max_candidates,
      Lists{args.own_row, args.first_source, args.source_count, args.source_row, args.row_after});
}

}  // namespace tome::kernels
