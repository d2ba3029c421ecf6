#ifndef TOME_SERVER_KERNELS_DOT_CUH_
#define TOME_SERVER_KERNELS_DOT_CUH_

#include "server/kernels/element.cuh"

namespace tome::kernels {

// Behind each row of a tile in shared memory that a warp's lanes read row by row, so that no two of
// them meet in a bank.
inline constexpr int kFloatPadding = 4;

// sums[i] += row i times `column`, both of `size` floats (a multiple of 4) on 16 bytes. Products
// are added in order, so that equal rows give equal bits.
template <int kRows>
__device__ __forceinline__ void DotRows(const float* rows, int row_stride, const float* column,
                                        int size, float (&sums)[kRows]) {
  for (int i = 0; i < size; i += 4) {
    const float4 b = *reinterpret_cast<const float4*>(column + i);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      const float4 a = *reinterpret_cast<const float4*>(rows + row * row_stride + i);
      sums[row] = fmaf(a.x, b.x, sums[row]);
      sums[row] = fmaf(a.y, b.y, sums[row]);
      sums[row] = fmaf(a.z, b.z, sums[row]);
      sums[row] = fmaf(a.w, b.w, sums[row]);
    }
  }
}

// Rows [first, first + kRows) of `from` to shared memory; those from `end` on become zero. By all
// threads of the block.
template <int kRows, int kThreads>
__device__ __forceinline__ void LoadFloatTile(const float* from, int64_t from_stride, int first,
                                              int end, int size, float* tile, int tile_stride) {
  const int accesses = size / 4;
  for (int i = static_cast<int>(threadIdx.x); i < kRows * accesses; i += kThreads) {
    const int row = i / accesses;
    const int column = i % accesses * 4;
    float4 values = make_float4(0, 0, 0, 0);
    if (first + row < end) {
      values = *reinterpret_cast<const float4*>(from + (first + row) * from_stride + column);
    }
    *reinterpret_cast<float4*>(tile + row * tile_stride + column) = values;
  }
}

}  // namespace tome::kernels

#endif  // TOME_SERVER_KERNELS_DOT_CUH_
