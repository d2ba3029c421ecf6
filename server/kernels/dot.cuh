#ifndef TOME_SERVER_KERNELS_DOT_CUH_
#define TOME_SERVER_KERNELS_DOT_CUH_

#include "server/kernels/element.cuh"

namespace tome::kernels {

// Behind each row of a tile in shared memory that a warp's lanes read row by row, so that no two of
// them meet in a bank.
inline constexpr int kFloatPadding = 4;

// sums[i][j] += row i times column j, each of `size` floats (a multiple of 4) on 16 bytes, `stride`
// floats after the one before it. Products are added in order, so that equal rows give equal bits.
template <int kRows, int kColumns>
__device__ __forceinline__ void DotRows(const float* rows, int row_stride, const float* columns,
                                        int column_stride, int size,
                                        float (&sums)[kRows][kColumns]) {
#pragma unroll 2
  for (int i = 0; i < size; i += 4) {
    float4 a[kRows];
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      a[row] = *reinterpret_cast<const float4*>(rows + row * row_stride + i);
    }
#pragma unroll
    for (int column = 0; column < kColumns; ++column) {
      const float4 b = *reinterpret_cast<const float4*>(columns + column * column_stride + i);
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        float& sum = sums[row][column];
        sum = fmaf(a[row].x, b.x, sum);
        sum = fmaf(a[row].y, b.y, sum);
        sum = fmaf(a[row].z, b.z, sum);
        sum = fmaf(a[row].w, b.w, sum);
      }
    }
  }
}

// Rows [first, first + kRows) of `from` to shared memory; those from `end` on become zero. By all
// threads of the block.
template <int kRows, int kThreads>
__device__ __forceinline__ void LoadFloatTile(const float* from, int64_t from_stride, int first,
                                              int end, int size, float* tile, int tile_stride) {
  const int accesses = size / 4;
#pragma unroll 4
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
