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

// metric = mean of the keys over the heads, L2-normalised. A warp a token; grid: (tokens / kWarps,
// images). Lane l sums eight columns (chunk) over every groups-th head (group); the groups are then
// added in order.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    MetricKernel(const T* keys, int key_stride, int heads, int head_size, const Segment* segments,
                 float* metric) {
  const Segment segment = segments[blockIdx.y];
  const int token = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
  if (segment.merges == 0 || token >= segment.tokens) return;
  const int64_t row = segment.offset + token;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int chunks = head_size / kElementsPerAccess;
  const int groups = kWarp / chunks;
  const int chunk = lane % chunks;
  const int group = lane / chunks;

  float partial[8] = {};
  if (group < groups) {
    const T* key = keys + row * key_stride + chunk * kElementsPerAccess;
    for (int head = group; head < heads; head += groups) {
      float values[8];
      Load8(key + head * head_size, values);
#pragma unroll
      for (int i = 0; i < 8; ++i) partial[i] += values[i];
    }
  }
  float sum[8] = {};
  float squares = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    for (int other = 0; other < groups; ++other) {
      sum[i] += __shfl_sync(kAllLanes, partial[i], chunk + other * chunks);
    }
    sum[i] /= static_cast<float>(heads);
    squares = fmaf(sum[i], sum[i], squares);
  }
  const float norm = sqrtf(WarpSum(group == 0 ? squares : 0));
  if (group > 0) return;
#pragma unroll
  for (float& value : sum) value = norm == 0 ? value : value / norm;
  Store8(metric + row * head_size + chunk * kElementsPerAccess, sum);
}

constexpr int kTileA = 32;
constexpr int kRowsOfAPerWarp = kTileA / kWarps;
constexpr int kTileB = kWarp;

constexpr size_t BestSharedBytes(int head_size) {
  return (static_cast<size_t>(kTileA) * head_size + kTileB * (head_size + kFloatPadding)) *
         sizeof(float);
}

// Each A's best B. A block kTileA rows of A, a warp four of them, a lane every 32nd B; grid: (rows
// of A / kTileA, images). Shared memory: BestSharedBytes.
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
    float scores[kRowsOfAPerWarp] = {};
    DotRows(tile_a + row * head_size, head_size, tile_b + lane * stride_b, head_size, scores);
    const int b = first_b + lane;
#pragma unroll
    for (int i = 0; i < kRowsOfAPerWarp; ++i) {
      // Not so for a NaN, nor for minus infinity: they leave what is there.
      if (b < candidates.b && scores[i] > best_score[i]) {
        best_score[i] = scores[i];
        best_b[i] = b;
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
  for (int i = 0; i < count; i += 4) {
    const float4 four = *reinterpret_cast<const float4*>(values + i);
    before += four.x > own || (four.x == own && i < index);
    before += four.y > own || (four.y == own && i + 1 < index);
    before += four.z > own || (four.z == own && i + 2 < index);
    before += four.w > own || (four.w == own && i + 3 < index);
  }
  return before;
}

// Selects the pairs of one image and writes its lists: a block an image, every place found by
// counting, so that no thread waits for another's. Shared memory: for each candidate of A its best
// score, then the B it joins (minus one: it stays).
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
  auto* joins = reinterpret_cast<int*>(score + max_candidates);
  for (int a = thread; a < padded; a += kThreads) {
    score[a] = a < candidates.a ? workspace.best_score[segment.offset + a] : kLowest;
  }
  __syncthreads();
  for (int a = thread; a < padded; a += kThreads) {
    const bool merges =
        a < candidates.a && CountBefore(score, padded, score[a], a) < segment.merges;
    joins[a] = merges ? workspace.best_b[segment.offset + a] : -1;
  }
  __syncthreads();

  const int first_b_row = new_offset + prefix_tokens + candidates.a - segment.merges;
  for (int i = thread; i < candidates.a + candidates.b; i += kThreads) {
    if (i < candidates.a) {
      const int b = joins[i];
      int merged_before = 0;  // of the A in front of it, those that merge
      int listed_before = 0;  // of the sources, those that come before it in the lists
      for (int other = 0; other < candidates.a; ++other) {
        const int joined = joins[other];
        merged_before += joined >= 0 && other < i;
        listed_before += joined >= 0 && (joined < b || (joined == b && other < i));
      }
      const int old_row = segment.offset + candidates.PositionOfA(i);
      if (b >= 0) {
        lists.row_after[old_row] = first_b_row + b;
        lists.source_row[segment.offset + listed_before] = old_row;
      } else {
        const int row = new_offset + prefix_tokens + i - merged_before;
        lists.row_after[old_row] = row;
        lists.own_row[row] = old_row;
        lists.first_source[row] = segment.offset;
        lists.source_count[row] = 0;
      }
    } else {
      const int b = i - candidates.a;
      int listed_before = 0;
      int sources = 0;
      for (int other = 0; other < candidates.a; ++other) {
        const int joined = joins[other];
        listed_before += joined >= 0 && joined < b;
        sources += joined == b;
      }
      const int old_row = segment.offset + candidates.PositionOfB(b);
      const int row = first_b_row + b;
      lists.row_after[old_row] = row;
      lists.own_row[row] = old_row;
      lists.first_source[row] = segment.offset + listed_before;
      lists.source_count[row] = sources;
    }
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
       .shared_bytes = max_candidates * (sizeof(float) + sizeof(int))},
      stream, workspace, args.segments, args.segments_after, args.prefix_tokens, max_candidates,
      Lists{args.own_row, args.first_source, args.source_count, args.source_row, args.row_after});
}

}  // namespace tome::kernels
