#include "server/kernels/element.cuh"
#include "server/kernels/launch.cuh"
#include "server/kernels/ptx.cuh"
#include "tests/kernels/ptx_probe.h"

namespace tome::kernels {
namespace {

constexpr int kSize = 16;

template <typename T>
__device__ void Write(const float (&c)[2][4], float* to) {
  const int lane = static_cast<int>(threadIdx.x);
  for (int tile = 0; tile < 2; ++tile) {
    for (int i = 0; i < 4; ++i) {
      to[(lane / 4 + i / 2 * 8) * kSize + tile * 8 + lane % 4 * 2 + i % 2] = c[tile][i];
    }
  }
}

template <typename T>
__global__ void ProbeKernel(const T* a, const T* b, const T* b_rows, float* product,
                            float* product_transposed, int valid_bytes) {
  const int lane = static_cast<int>(threadIdx.x);
  T* tiles = reinterpret_cast<T*>(SharedMemory());
  const T* sources[3] = {a, b, b_rows};
  for (int tile = 0; tile < 3; ++tile) {
    // Two accesses a row, a lane each.
    ptx::CopyAsync16(tiles + tile * kSize * kSize + lane * 8, sources[tile] + lane * 8,
                     tile == 0 ? valid_bytes : 16);
    ptx::CommitCopies();
  }
  ptx::WaitForCopies<0>();
  __syncthreads();

  const int matrix = lane / 8;
  // A: rows 0-7 and 8-15 of k 0-7, then of k 8-15.
  uint32_t a_fragment[4];
  ptx::LoadMatrix4(a_fragment, tiles + (matrix % 2 * 8 + lane % 8) * kSize + matrix / 2 * 8);
  // B: k 0-7 and 8-15 of columns 0-7, then of columns 8-15.
  uint32_t b_fragment[4];
  ptx::LoadMatrix4(b_fragment,
                   tiles + kSize * kSize + (matrix / 2 * 8 + lane % 8) * kSize + matrix % 2 * 8);
  uint32_t b_transposed[4];
  ptx::LoadMatrix4Transposed(
      b_transposed,
      tiles + 2 * kSize * kSize + (matrix % 2 * 8 + lane % 8) * kSize + matrix / 2 * 8);
  float c[2][4] = {};
  float c_transposed[2][4] = {};
  for (int tile = 0; tile < 2; ++tile) {
    ptx::MultiplyAdd(c[tile], a_fragment, {b_fragment[2 * tile], b_fragment[2 * tile + 1]}, T());
    ptx::MultiplyAdd(c_transposed[tile], a_fragment,
                     {b_transposed[2 * tile], b_transposed[2 * tile + 1]}, T());
  }
  Write<T>(c, product);
  Write<T>(c_transposed, product_transposed);
}

}  // namespace

cudaError_t ProbePtx(const PtxProbeArgs& args, cudaStream_t stream) {
  const auto launch = [&]<typename T>(std::type_identity<T>) {
    return Launch(
        ProbeKernel<T>,
        {.grid = dim3(1), .threads = kWarp, .shared_bytes = 3 * kSize * kSize * sizeof(T)}, stream,
        static_cast<const T*>(args.a), static_cast<const T*>(args.b),
        static_cast<const T*>(args.b_rows), args.product, args.product_transposed,
        args.valid_bytes);
  };
  return args.type == ElementType::kFloat16 ? launch(std::type_identity<__half>())
                                            : launch(std::type_identity<__nv_bfloat16>());
}

}  // namespace tome::kernels
