#ifndef TOME_SERVER_KERNELS_CPU_SIMD_DOT_H_
#define TOME_SERVER_KERNELS_CPU_SIMD_DOT_H_

// The one product that attention and matching are made of: a few rows times a panel of columns.

#include "server/kernels/cpu/simd/vector.h"

namespace tome::kernels::cpu::TOME_SIMD {

inline constexpr int kBlockRows = TOME_SIMD_BLOCK_ROWS;

// How the words of a product are multiplied. A word is four bytes: a float, or two bfloat16 that
// are neighbours along the summed dimension.
struct FloatDot {
  using Element = float;
  static constexpr int kElementsPerWord = 1;
  static Floats Accumulate(Floats sum, const float* word, Floats column) {
    return sum + column * *word;
  }
};

#if defined(__AVX512BF16__)
struct BFloat16Dot {
  using Element = BFloat16;
  static constexpr int kElementsPerWord = 2;
  static Floats Accumulate(Floats sum, const float* word, Floats column) {
    const __m512i pair = _mm512_castps_si512(_mm512_set1_ps(*word));
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(pair),
                            reinterpret_cast<__m512bh>(column));
  }
};
#endif

// A matrix [depth, columns] as panels of kLanes columns: word (t, c) of it stands at
// [c / kLanes][t][c % kLanes], so that a product walks through memory in one direction.
//
// sums[i][v] = sum over t of row i's word t times panel v's words t. Each row's sums are made in
// the same order whatever Rows is.
template <typename Dot, int Rows, int Panels>
inline void MultiplyPanels(const float* rows, size_t row_stride, const float* panel,
                           size_t panel_stride, int depth, Floats (&sums)[Rows][Panels]) {
  // Not `sums` itself: the caller takes those by number, so that they would be stored at every
  // word.
  Floats running[Rows][Panels] = {};
  for (int t = 0; t < depth; ++t) {
    Floats columns[Panels];
    for (int v = 0; v < Panels; ++v)
      columns[v] = Load(panel + v * panel_stride + static_cast<size_t>(t) * kLanes);
    for (int i = 0; i < Rows; ++i) {
      for (int v = 0; v < Panels; ++v) {
        running[i][v] = Dot::Accumulate(running[i][v], rows + i * row_stride + t, columns[v]);
      }
    }
  }
  for (int i = 0; i < Rows; ++i) {
    for (int v = 0; v < Panels; ++v) sums[i][v] = running[i][v];
  }
}

// Calls use(row, panel, sums) with the sums of each row and each panel of the product, a row's
// panels in ascending order.
template <typename Dot, int Rows, typename Use>
inline void MultiplyRows(const float* rows, size_t row_stride, const float* panels, int panel_count,
                         int depth, const Use& use) {
  const size_t panel_stride = static_cast<size_t>(kLanes) * depth;
  int panel = 0;
  for (; panel + 2 <= panel_count; panel += 2) {
    Floats sums[Rows][2];
    MultiplyPanels<Dot, Rows, 2>(rows, row_stride, panels + panel * panel_stride, panel_stride,
                                 depth, sums);
    for (int i = 0; i < Rows; ++i) {
      use(i, panel, sums[i][0]);
      use(i, panel + 1, sums[i][1]);
    }
  }
  if (panel < panel_count) {
    Floats sums[Rows][1];
    MultiplyPanels<Dot, Rows, 1>(rows, row_stride, panels + panel * panel_stride, panel_stride,
                                 depth, sums);
    for (int i = 0; i < Rows; ++i) use(i, panel, sums[i][0]);
  }
}

// MultiplyRows with Rows = `count`, at most kBlockRows.
template <typename Dot, int Rows = kBlockRows, typename Use>
inline void MultiplyBlock(int count, const float* rows, size_t row_stride, const float* panels,
                          int panel_count, int depth, const Use& use) {
  if constexpr (Rows > 1) {
    if (count < Rows) {
      return MultiplyBlock<Dot, Rows - 1>(count, rows, row_stride, panels, panel_count, depth, use);
    }
  }
  MultiplyRows<Dot, Rows>(rows, row_stride, panels, panel_count, depth, use);
}

}  // namespace tome::kernels::cpu::TOME_SIMD

#endif  // TOME_SERVER_KERNELS_CPU_SIMD_DOT_H_
