#include "server/kernels/cpu/token_match.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <functional>

#include "server/kernels/cpu/simd/kernels.h"

namespace tome::kernels::cpu {
namespace {

// Where an image's metrics start, in rows: room for its own rows and for panels that are not full.
size_t FirstMetricRow(const Segment& segment, int image) {
  return static_cast<size_t>(segment.offset) + static_cast<size_t>(image) * kMaxLanes;
}

size_t MetricRows(int images, int packed_tokens) {
  return static_cast<size_t>(packed_tokens) + static_cast<size_t>(images) * kMaxLanes;
}

// The scratch of the whole batch.
struct Layout {
  Layout(void* memory, int images, int packed_tokens, int head_size) {
    ranks = static_cast<uint64_t*>(memory);
    metrics = reinterpret_cast<float*>(ranks + packed_tokens);
    best_score = metrics + MetricRows(images, packed_tokens) * head_size;
    best_b = reinterpret_cast<int*>(best_score + packed_tokens);
    parts_left = best_b + packed_tokens;
  }

  uint64_t* ranks;
  float* metrics;
  float* best_score;
  int* best_b;
  int* parts_left;  // [images] whose best matches are not there yet
};

// An order of the scores as whole numbers, with minus infinity lowest; the lower row of A is the
// greater among equals.
uint64_t Rank(float score, int a) {
  // Plus zero makes of minus zero a zero.
  const uint32_t bits = std::bit_cast<uint32_t>(score + 0.0f);
  const uint32_t ascending = bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
  return static_cast<uint64_t>(ascending) << 32 | ~static_cast<uint32_t>(a);
}

// One image's lists from its rows' best matches.
class Lists {
 public:
  Lists(const TokenMatchArgs& args, const Segment& before, const Segment& after,
        const MatchScratch& scratch, uint64_t* ranks)
      : args_(args), before_(before), after_(after), scratch_(scratch), ranks_(ranks) {}

  void Fill() const {
    if (before_.merges == 0) return FillUnmerged();
    Choose();
    int next = after_.offset;
    for (int row = 0; row < args_.prefix_tokens; ++row) Keep(row, next++);
    for (int row = FirstA(); row < before_.tokens; row += 2) {
      if (RowAfter(row) != kMergedAway) Keep(row, next++);
    }
    for (int row = FirstB(); row < before_.tokens; row += 2) Keep(row, next++);
    JoinSources();
  }

 private:
  static constexpr int kMergedAway = -1;

  // The first unprotected row of each set.
  int FirstA() const { return (args_.prefix_tokens + 1) / 2 * 2; }
  int FirstB() const { return args_.prefix_tokens / 2 * 2 + 1; }
  int RowsA() const { return (before_.tokens + 1) / 2; }

  int& RowAfter(int row) const { return args_.row_after[before_.offset + row]; }

  // The row that a row of A joins if it merges.
  int Destination(int row) const { return FirstB() + 2 * scratch_.best_b[row / 2]; }

  void FillUnmerged() const {
    for (int row = 0; row < before_.tokens; ++row) Keep(row, after_.offset + row);
  }

  // The row stays as packed row `row_after`.
  void Keep(int row, int row_after) const {
    RowAfter(row) = row_after;
    args_.own_row[row_after] = before_.offset + row;
    args_.first_source[row_after] = before_.offset;
    args_.source_count[row_after] = 0;
  }

  // Marks the rows that merge.
  void Choose() const {
    const int first = FirstA() / 2;
    const int count = RowsA() - first;
    for (int i = 0; i < count; ++i) ranks_[i] = Rank(scratch_.best_score[first + i], first + i);
    std::nth_element(ranks_, ranks_ + before_.merges - 1, ranks_ + count, std::greater<>());
    for (int row = FirstA(); row < before_.tokens; row += 2) RowAfter(row) = 0;
    for (int i = 0; i < before_.merges; ++i) {
      RowAfter(2 * static_cast<int>(~static_cast<uint32_t>(ranks_[i]))) = kMergedAway;
    }
  }

  // Each receiving row's list of sources, ascending, one list behind the other.
  void JoinSources() const {
    for (int row = FirstA(); row < before_.tokens; row += 2) {
      if (RowAfter(row) == kMergedAway) ++args_.source_count[RowAfter(Destination(row))];
    }
    int next = before_.offset;
    for (int row = FirstB(); row < before_.tokens; row += 2) {
      const int row_after = RowAfter(row);
      args_.first_source[row_after] = next;
      next += args_.source_count[row_after];
      args_.source_count[row_after] = 0;
    }
    for (int row = FirstA(); row < before_.tokens; row += 2) {
      if (RowAfter(row) != kMergedAway) continue;
      const int row_after = RowAfter(Destination(row));
      args_.source_row[args_.first_source[row_after] + args_.source_count[row_after]++] =
          before_.offset + row;
      RowAfter(row) = row_after;
    }
  }

  const TokenMatchArgs& args_;
  const Segment& before_;
  const Segment& after_;
  const MatchScratch& scratch_;
  uint64_t* const ranks_;
};

}  // namespace

size_t TokenMatchScratchBytes(int images, int packed_tokens, int head_size) {
  const size_t rows = static_cast<size_t>(packed_tokens);
  return MetricRows(images, packed_tokens) * head_size * sizeof(float) +
         rows * (sizeof(uint64_t) + sizeof(float) + sizeof(int)) + images * sizeof(int);
}

void MatchTokens(const TokenMatchArgs& args, const Compute& compute) {
  const SimdKernels& kernels = KernelsOf(compute.instructions);
  const int images = static_cast<int>(args.segments.size());
  const int packed_tokens =
      images == 0 ? 0 : args.segments.back().offset + args.segments.back().tokens;
  const Layout layout(args.scratch, images, packed_tokens, args.head_size);
  const auto scratch_of = [&](int image) {
    const Segment& segment = args.segments[image];
    const size_t rows_a = static_cast<size_t>(segment.tokens + 1) / 2;
    float* metric_a = layout.metrics + FirstMetricRow(segment, image) * args.head_size;
    return MatchScratch{.metric_a = metric_a,
                        .panels_b = metric_a + rows_a * args.head_size,
                        .best_score = layout.best_score + segment.offset,
                        .best_b = layout.best_b + segment.offset};
  };
  // `count` rows of one image, cut into parts.
  const int parts = PartsForWorkers(images, compute.parallel.workers());
  const auto part_of = [&](int count, int part) {
    return static_cast<int>(static_cast<int64_t>(count) * part / parts);
  };

  compute.parallel(images * parts, [&](int task, int) {
    const int image = task / parts;
    const Segment& segment = args.segments[image];
    if (task % parts == 0) layout.parts_left[image] = parts;
    if (segment.merges == 0) return;
    kernels.metric(args, segment, part_of(segment.tokens, task % parts),
                   part_of(segment.tokens, task % parts + 1), scratch_of(image));
  });
  compute.parallel(images * parts, [&](int task, int) {
    const int image = task / parts;
    const Segment& segment = args.segments[image];
    const MatchScratch scratch = scratch_of(image);
    if (segment.merges > 0) {
      const int first = (args.prefix_tokens + 1) / 2;
      const int count = (segment.tokens + 1) / 2 - first;
      kernels.best_match(args, segment, first + part_of(count, task % parts),
                         first + part_of(count, task % parts + 1), scratch);
    }
    // Who is last with an image's parts makes its lists: no thread waits for all images.
    if (std::atomic_ref(layout.parts_left[image]).fetch_sub(1, std::memory_order_acq_rel) > 1) {
      return;
    }
    Lists(args, segment, args.segments_after[image], scratch, layout.ranks + segment.offset).Fill();
  });
}

}  // namespace tome::kernels::cpu
