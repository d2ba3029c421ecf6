#ifndef TOME_SERVER_KERNELS_CPU_SIMD_TOKEN_MATCH_H_
#define TOME_SERVER_KERNELS_CPU_SIMD_TOKEN_MATCH_H_

#include "server/kernels/cpu/simd/dot.h"
#include "server/kernels/cpu/simd/kernels.h"

namespace tome::kernels::cpu::TOME_SIMD {

template <typename T>
inline void MetricOf(const TokenMatchArgs& args, const Segment& segment, int first, int last,
                     const MatchScratch& scratch) {
  const int head_size = args.head_size;
  for (int row = first; row < last; ++row) {
    const size_t packed_row = static_cast<size_t>(segment.offset) + row;
    const T* key = static_cast<const T*>(args.keys) + packed_row * args.key_stride;
    const auto mean = [&](int column, const auto load) {
      Floats sum = load(key + column);
      for (int head = 1; head < args.heads; ++head) {
        sum += load(key + static_cast<size_t>(head) * head_size + column);
      }
      return sum / static_cast<float>(args.heads);
    };
    Floats squares = {};
    ForEachVector(head_size, [&](int column, const auto load, auto) {
      const Floats values = mean(column, load);
      squares += values * values;
    });
    const float norm = __builtin_sqrtf(Sum(squares));
    const float divisor = norm == 0 ? 1.0f : norm;

    if (row % 2 == 0) {
      float* to = scratch.metric_a + static_cast<size_t>(row / 2) * head_size;
      ForEachVector(head_size, [&](int column, const auto load, const auto store) {
        store(to + column, mean(column, load) / divisor);
      });
    } else if (row >= args.prefix_tokens) {
      const int b = row / 2 - args.prefix_tokens / 2;
      float* to =
          scratch.panels_b + static_cast<size_t>(b / kLanes) * head_size * kLanes + b % kLanes;
      ForEachVector(head_size, [&](int column, const auto load, auto) {
        const Floats values = mean(column, load) / divisor;
        for (int i = 0; i < kLanes && column + i < head_size; ++i) {
          to[static_cast<size_t>(column + i) * kLanes] = values[i];
        }
      });
    }
  }
}

inline void Metric(const TokenMatchArgs& args, const Segment& segment, int first, int last,
                   const MatchScratch& scratch) {
  if (args.type == ElementType::kFloat32) {
    MetricOf<float>(args, segment, first, last, scratch);
  } else {
    MetricOf<BFloat16>(args, segment, first, last, scratch);
  }
}

inline void BestMatch(const TokenMatchArgs& args, const Segment& segment, int first, int last,
                      const MatchScratch& scratch) {
  const int count_b = segment.tokens / 2 - args.prefix_tokens / 2;
  for (int row = first; row < last; row += kBlockRows) {
    const int rows = last - row < kBlockRows ? last - row : kBlockRows;
    Floats best[kBlockRows];
    Ints best_b[kBlockRows];
    for (int i = 0; i < rows; ++i) {
      best[i] = Broadcast(-__builtin_inff());
      best_b[i] = Ints{};
    }
    MultiplyBlock<FloatDot>(rows, scratch.metric_a + static_cast<size_t>(row) * args.head_size,
                            args.head_size, scratch.panels_b, RoundUpToLanes(count_b) / kLanes,
                            args.head_size, [&](int i, int panel, Floats score) {
                              // Ascending columns and a strict comparison: each lane keeps its
                              // lowest index. NaN is greater than nothing.
                              const Ints b = LaneNumbers() + panel * kLanes;
                              const Ints better = (score > best[i]) & (b < count_b);
                              best[i] = better ? score : best[i];
                              best_b[i] = better ? b : best_b[i];
                            });
    for (int i = 0; i < rows; ++i) {
      int lane = 0;
      for (int other = 1; other < kLanes; ++other) {
        const bool tie = best[i][other] == best[i][lane] && best_b[i][other] < best_b[i][lane];
        if (best[i][other] > best[i][lane] || tie) lane = other;
      }
      scratch.best_score[row + i] = best[i][lane];
      scratch.best_b[row + i] = best_b[i][lane];
    }
  }
}

}  // namespace tome::kernels::cpu::TOME_SIMD

#endif  // TOME_SERVER_KERNELS_CPU_SIMD_TOKEN_MATCH_H_
