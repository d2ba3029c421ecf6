#include <algorithm>

#include "server/kernels/attention.h"
#include "server/kernels/attention_float.cuh"
#include "server/kernels/attention_plan.h"
#include "server/kernels/attention_tensor_core.cuh"

namespace tome::kernels {

extern template cudaError_t LaunchTensorCoreAttention<__half>(const AttentionInput<__half>&,
                                                              const AttentionPlan&,
                                                              const AttentionArgs&, cudaStream_t);
extern template cudaError_t LaunchTensorCoreAttention<__nv_bfloat16>(
    const AttentionInput<__nv_bfloat16>&, const AttentionPlan&, const AttentionArgs&, cudaStream_t);

namespace {

// Blocks that fill the GPU: where images and heads alone are fewer, an image's queries are shared
// out among blocks, which costs each of them the keys and values once more.
constexpr int kBlocksPerMultiprocessor = 2;

size_t RingBytes(int head_size, int rows) {
  // The same for both half types.
  const size_t stride = PaddedHeadSize(head_size) + kHalfPadding;
  return static_cast<size_t>(rows) * (2 * stride * sizeof(__half) + sizeof(float));
}

bool IsValid(const AttentionArgs& args) {
  const auto on_16_bytes = [](const void* pointer) {
    return reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
  };
  return args.head_size > 0 && args.head_size <= 128 && args.head_size % kElementsPerAccess == 0 &&
         args.q_stride % kElementsPerAccess == 0 && args.k_stride % kElementsPerAccess == 0 &&
         args.v_stride % kElementsPerAccess == 0 && on_16_bytes(args.q) && on_16_bytes(args.k) &&
         on_16_bytes(args.v) && on_16_bytes(args.out) && args.images >= 0 && args.heads > 0 &&
         args.max_tokens > 0 && args.scale > 0 &&
         (args.queries == Queries::kAllRows || args.query_rows > 0);
}

template <typename T>
AttentionInput<T> InputOf(const AttentionArgs& args, const AttentionPlan& plan) {
  return {.q = static_cast<const T*>(args.q),
          .k = static_cast<const T*>(args.k),
          .v = static_cast<const T*>(args.v),
          .q_stride = args.q_stride,
          .k_stride = args.k_stride,
          .v_stride = args.v_stride,
          .segments = args.segments,
          .log_size = args.log_size,
          .out = static_cast<T*>(args.out),
          .queries = args.queries,
          .query_rows = args.query_rows,
          .head_size = args.head_size,
          .width = args.heads * args.head_size,
          .scale_log2 = args.scale * kLog2E,
          .queries_per_warp = plan.queries_per_warp,
          .queries_per_block = plan.queries_per_block,
          .resident = plan.resident};
}

}  // namespace

int PaddedHeadSize(int head_size) {
  if (head_size <= 32) return 32;
  if (head_size <= 64) return 64;
  return CeilDiv(head_size, 16) * 16;
}

int MaxTilesPerWarp(int head_size) { return PaddedHeadSize(head_size) <= 96 ? 2 : 1; }

AttentionPlan PlanAttention(const AttentionArgs& args, const AttentionDevice& device) {
  const int queries = args.queries == Queries::kAllRows ? args.max_tokens : args.query_rows;
  AttentionPlan plan;
  if (args.type == ElementType::kFloat32) {
    plan.queries_per_warp = kFloatQueriesPerWarp;
    plan.queries_per_block = kFloatWarps * kFloatQueriesPerWarp;
    plan.query_blocks = CeilDiv(queries, plan.queries_per_block);
    plan.shared_bytes = FloatAttentionBytes(args.head_size);
    return plan;
  }
  const int tiles = CeilDiv(queries, kQueriesPerTile);
  const int wanted = kBlocksPerMultiprocessor * device.multiprocessors;
  const int splits = CeilDiv(wanted, std::max(1, args.images * args.heads));
  const int tiles_per_block = std::max(kAttentionWarps, CeilDiv(tiles, splits));
  // Few queries a block: a tile a warp, so that all warps have one.
  const int tiles_per_warp =
      tiles_per_block <= kAttentionWarps ? 1 : MaxTilesPerWarp(args.head_size);
  plan.queries_per_warp = tiles_per_warp * kQueriesPerTile;

  const size_t resident_bytes = RingBytes(args.head_size, RingRows(true, args.max_tokens));
  plan.resident = resident_bytes <= device.shared_bytes_per_block / kBlocksPerMultiprocessor;
  plan.queries_per_block =
      plan.resident ? tiles_per_block * kQueriesPerTile : kAttentionWarps * plan.queries_per_warp;
  plan.shared_bytes =
      plan.resident ? resident_bytes : RingBytes(args.head_size, RingRows(false, args.max_tokens));
  plan.query_blocks = CeilDiv(queries, plan.queries_per_block);
  return plan;
}

cudaError_t Attention(const AttentionArgs& args, const AttentionPlan& plan, cudaStream_t stream) {
  if (!IsValid(args)) return cudaErrorInvalidValue;
  switch (args.type) {
    case ElementType::kFloat32:
      return Launch(FloatAttentionKernel,
                    {.grid = dim3(static_cast<unsigned int>(plan.query_blocks),
                                  static_cast<unsigned int>(args.heads),
                                  static_cast<unsigned int>(args.images)),
                     .threads = kFloatWarps * kWarp,
                     .shared_bytes = plan.shared_bytes},
                    stream, InputOf<float>(args, plan));
    case ElementType::kFloat16:
      return LaunchTensorCoreAttention(InputOf<__half>(args, plan), plan, args, stream);
    case ElementType::kBFloat16:
      return LaunchTensorCoreAttention(InputOf<__nv_bfloat16>(args, plan), plan, args, stream);
  }
  return cudaErrorInvalidValue;
}

cudaError_t Attention(const AttentionArgs& args, cudaStream_t stream) {
  if (!IsValid(args)) return cudaErrorInvalidValue;
  int device = 0;
  int multiprocessors = 0;
  int shared_bytes = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error != cudaSuccess) return error;
  error = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
  if (error != cudaSuccess) return error;
  error = cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (error != cudaSuccess) return error;
  const AttentionPlan plan =
      PlanAttention(args, {.multiprocessors = multiprocessors,
                           .shared_bytes_per_block = static_cast<size_t>(shared_bytes)});
  return Attention(args, plan, stream);
}

}  // namespace tome::kernels
