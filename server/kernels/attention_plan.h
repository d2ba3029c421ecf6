#ifndef TOME_SERVER_KERNELS_ATTENTION_PLAN_H_
#define TOME_SERVER_KERNELS_ATTENTION_PLAN_H_

#include <cuda_runtime_api.h>

#include <cstddef>

#include "server/kernels/attention.h"

namespace tome::kernels {

// What of a GPU decides how attention is cut.
struct AttentionDevice {
  int multiprocessors = 0;
  size_t shared_bytes_per_block = 0;
};

// How attention is cut into blocks. None of it changes a bit of the result: a query meets the keys
// in the same order, in tiles of the same size, however many share a block.
struct AttentionPlan {
  // All of a head's keys and values stay in shared memory while every query of the block passes;
  // otherwise two tiles of them at a time, and each warp's queries pass once.
  bool resident = false;
  int queries_per_warp = 0;  // at a time
  int queries_per_block = 0;
  int query_blocks = 0;  // of the image with most queries
  size_t shared_bytes = 0;
};

// The head size that a kernel is compiled for: behind head_size elements it counts zeros.
int PaddedHeadSize(int head_size);
// Tiles of 16 queries that a warp of that kernel can take at a time.
int MaxTilesPerWarp(int head_size);

// REQUIRES: what Attention requires.
AttentionPlan PlanAttention(const AttentionArgs& args, const AttentionDevice& device);

// As Attention, cut as `plan` says.
cudaError_t Attention(const AttentionArgs& args, const AttentionPlan& plan, cudaStream_t stream);

}  // namespace tome::kernels

#endif  // TOME_SERVER_KERNELS_ATTENTION_PLAN_H_
