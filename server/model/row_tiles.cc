#include "server/model/row_tiles.h"

#include <algorithm>

#include "server/model/linear.h"

namespace tome {
namespace {

// What a tile is a multiple of: oneDNN's kernels for AVX-512 are as fast as any for the first,
// the project's own computes groups of the second.
constexpr int64_t kOneDnnStep = kSpareRows + 1;
constexpr int64_t kOwnStep = 6;
// Few enough that an MLP's inside stays in the cache of a core.
constexpr int64_t kMost = 144;
static_assert(kMost % kOneDnnStep == 0 && kMost % kOwnStep == 0);

}  // namespace

RowTiling::RowTiling(int threads) : RowTiling(threads, MultipliesByOneDnn()) {}

RowTiling::RowTiling(int threads, bool padded)
    : threads_(threads), padded_(padded), step_(padded ? kOneDnnStep : kOwnStep) {}

std::vector<RowTile> RowTiling::Tiles(int64_t rows) const {
  // As few rounds as there can be, and in each of them the same work for each thread, to a step.
  const int64_t rounds = (rows + kMost * threads_ - 1) / (kMost * threads_);
  const int64_t steps = (rows + step_ - 1) / step_;
  const int64_t count = std::min(rounds * threads_, steps);
  std::vector<RowTile> tiles;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t first = steps * i / count * step_;
    const int64_t end = steps * (i + 1) / count * step_;
    const int64_t own = std::min(end, rows) - first;
    tiles.push_back({.first = first, .rows = own, .padded_rows = padded_ ? end - first : own});
  }
  return tiles;
}

std::vector<int> RowTiling::RowCounts() const {
  std::vector<int> counts;
  for (int64_t rows = step_; rows <= kMost && padded_; rows += step_) {
    counts.push_back(static_cast<int>(rows));
  }
  return counts;
}

}  // namespace tome
