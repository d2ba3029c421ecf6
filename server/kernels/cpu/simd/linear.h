#ifndef TOME_SERVER_KERNELS_CPU_SIMD_LINEAR_H_
#define TOME_SERVER_KERNELS_CPU_SIMD_LINEAR_H_

#include "server/kernels/cpu/simd/dot.h"
#include "server/kernels/cpu/simd/kernels.h"
#include "server/kernels/cpu/simd/rows.h"

namespace tome::kernels::cpu::TOME_SIMD {

// What is multiplied while it is in the caches: a group of rows by two panels at a time, over so
// much of the summed dimension. Two panels come from the L2 cache for each block of rows.
inline constexpr int kGroupRows = 48;
inline constexpr int kDepthBlock = 1024;

// x Phi(x). Phi(-|x|) = P(t) e^(-x^2 / 2) / 2 with t = 1 / (1 + p |x| / sqrt 2), within 1e-7
// (Abramowitz and Stegun, 7.1.26).
inline Floats Gelu(Floats x) {
  const Floats magnitude = x < 0 ? -x : x;
  const Floats t = 1.0f / (magnitude * 0.231641888f + 1.0f);
  Floats p = Broadcast(1.061405429f);
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const Floats tail = p * t * 0.5f * Exponential(x * x * -0.5f);
  return x * (x < 0 ? tail : 1.0f - tail);
}

// (1 + tanh u) / 2 = sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3).
inline Floats GeluTanh(Floats x) { return x * Sigmoid((x + x * x * x * 0.044715f) * 1.595769122f); }

inline Floats Activated(LinearActivation activation, Floats x) {
  switch (activation) {
    case LinearActivation::kGelu:
      return Gelu(x);
    case LinearActivation::kGeluTanh:
      return GeluTanh(x);
    case LinearActivation::kNone:
      break;
  }
  return x;
}

// Columns of `Panels` panels of Rows rows: the sums over inputs [from, from + depth) are added to
// what `out` holds of the inputs before, or to the bias.
template <int Rows, int Panels>
inline void AddProducts(const LinearArgs& args, int row, int panel, int from, int depth) {
  // In front of a panel stands its part of the bias.
  const size_t panel_stride = static_cast<size_t>(kLanes) * (args.inputs + 1);
  const float* panels = args.panels + panel * panel_stride;
  Floats sums[Rows][Panels];
  MultiplyPanels<FloatDot, Rows, Panels>(args.x + row * args.x_stride + from, args.x_stride,
                                         panels + static_cast<size_t>(from + 1) * kLanes,
                                         panel_stride, depth, sums);
  const bool last = from + depth == args.inputs;
  for (int i = 0; i < Rows; ++i) {
    for (int v = 0; v < Panels; ++v) {
      const int column = (panel + v) * kLanes;
      const int left = args.outputs - column;
      float* out = args.out + (row + i) * args.out_stride + column;
      Floats before;
      if (from == 0) {
        before = Load(panels + v * panel_stride);
      } else {
        before = left < kLanes ? LoadPart(out, left) : Load(out);
      }
      const Floats sum = before + sums[i][v];
      const Floats result = last ? Activated(args.activation, sum) : sum;
      if (left < kLanes) {
        StorePart(out, result, left);
      } else {
        Store(out, result);
      }
    }
  }
}

// AddProducts with Rows = `rows`, at most kBlockRows.
template <int Panels, int Rows = kBlockRows>
inline void AddBlock(const LinearArgs& args, int rows, int row, int panel, int from, int depth) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return AddBlock<Panels, Rows - 1>(args, rows, row, panel, from, depth);
  }
  AddProducts<Rows, Panels>(args, row, panel, from, depth);
}

inline void LinearGroup(const LinearArgs& args, int first, int last, int from, int depth) {
  const int panels = RoundUpToLanes(args.outputs) / kLanes;
  for (int panel = 0; panel < panels; panel += 2) {
    for (int row = first; row < last; row += kBlockRows) {
      const int rows = last - row < kBlockRows ? last - row : kBlockRows;
      if (panel + 1 < panels) {
        AddBlock<2>(args, rows, row, panel, from, depth);
      } else {
        AddBlock<1>(args, rows, row, panel, from, depth);
      }
    }
  }
}

inline void LinearRows(const LinearArgs& args, int first, int last) {
  for (int group = first; group < last; group += kGroupRows) {
    const int end = last - group < kGroupRows ? last : group + kGroupRows;
    for (int from = 0; from < args.inputs; from += kDepthBlock) {
      const int left = args.inputs - from;
      LinearGroup(args, group, end, from, left < kDepthBlock ? left : kDepthBlock);
    }
  }
}

}  // namespace tome::kernels::cpu::TOME_SIMD

#endif  // TOME_SERVER_KERNELS_CPU_SIMD_LINEAR_H_
