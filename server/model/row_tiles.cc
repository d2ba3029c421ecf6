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

int64_t RoundUp(int64_t rows, int64_t step) { return (rows + step - 1) / step * step; }

}  // namespace

RowTiling::RowTiling(int threads) : RowTiling(threads, MultipliesByOneDnn()) {}

RowTiling::RowTiling(int threads, bool padded)
    : threads_(threads), padded_(padded), step_(padded ? kOneDnnStep : kOwnStep) {}

std::vector<RowTile> RowTiling::Tiles(int64_t rows) const {
  // As few rounds as there can be, and the same work for each thread in each of them.
  const int64_t rounds = std::max<int64_t>(1, (rows + kMost * threads_ - 1) / (kMost * threads_));
  const int64_t full = RoundUp((rows + rounds * threads_ - 1) / (rounds * threads_), step_);
  std::vector<RowTile> tiles;
  for (int64_t first = 0; first < rows; first += full) {
    const int64_t own = std::min(full, rows - first);
    tiles.push_back(
        {.first = first, .rows = own, .padded_rows = padded_ ? RoundUp(own, step_) : own});
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
