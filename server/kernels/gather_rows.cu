#include "server/kernels/element.cuh"
#include "server/kernels/gather_rows.h"
#include "server/kernels/launch.cuh"

namespace tome::kernels {
namespace {

constexpr int kThreads = 128;

// A block a row; grid: images x rows.
__global__ void __launch_bounds__(kThreads)
    GatherRowsKernel(const uint4* x, const Segment* segments, uint4* out, int rows, int accesses) {
  const int row = static_cast<int>(blockIdx.x);
  const int from = segments[row / rows].offset + row % rows;
  for (int i = static_cast<int>(threadIdx.x); i < accesses; i += kThreads) {
    out[static_cast<int64_t>(row) * accesses + i] = x[static_cast<int64_t>(from) * accesses + i];
  }
}

}  // namespace

cudaError_t GatherRows(const GatherRowsArgs& args, cudaStream_t stream) {
  if (args.width <= 0 || args.width % kElementsPerAccess != 0) return cudaErrorInvalidValue;
  if (args.rows < 0 || args.images < 0) return cudaErrorInvalidValue;
  const int accesses = static_cast<int>(args.width * ElementBytes(args.type) / sizeof(uint4));
  return Launch(
      GatherRowsKernel,
      {.grid = dim3(static_cast<unsigned int>(args.images * args.rows)), .threads = kThreads},
      stream, static_cast<const uint4*>(args.x), args.segments, static_cast<uint4*>(args.out),
      args.rows, accesses);
}

}  // namespace tome::kernels
