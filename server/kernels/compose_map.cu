#include "server/kernels/compose_map.h"
#include "server/kernels/launch.cuh"

namespace tome::kernels {
namespace {

constexpr int kThreads = 256;

// A thread a token.
__global__ void __launch_bounds__(kThreads)
    ComposeMapKernel(int* group, const int* row_after, int tokens) {
  const int token = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (token < tokens) group[token] = row_after[group[token]];
}

}  // namespace

cudaError_t ComposeMap(const ComposeMapArgs& args, cudaStream_t stream) {
  if (args.tokens < 0) return cudaErrorInvalidValue;
  return Launch(ComposeMapKernel,
                {.grid = dim3(static_cast<unsigned int>(CeilDiv(args.tokens, kThreads))),
                 .threads = kThreads},
                stream, args.group, args.row_after, args.tokens);
}

}  // namespace tome::kernels
