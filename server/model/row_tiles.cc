#include "server/model/row_tiles.h"

#include <algorithm>

#include "server/model/linear.h"

namespace tome {
namespace {

// oneDNN's kernels for AVX-512 are as fast as any for multiples of it.
constexpr int64_t kSharedStep = 8;

int64_t RoundUp(int64_t rows, int64_t step) { return (rows + step - 1) / step * step; }

}  // namespace

RowTiling::RowTiling(int threads) : RowTiling(threads, !ProductsKeepRowBits()) {}

// A shared tile is small enough that what an MLP computes between its two layers stays in the
// caches of the cores, and large enough that each thread has its share.
RowTiling::RowTiling(int threads, bool tile_a_thread)
    : threads_(threads),
      tile_a_thread_(tile_a_thread),
      most_(tile_a_thread ? kMostRows : std::clamp(120 * threads, 240, 1920)) {}

int64_t RowTiling::Padded(int64_t rows) const {
  const int64_t step = kSharedStep * (rows <= 240 ? 1 : (rows <= 960 ? 4 : 8));
  return std::min(RoundUp(rows, step), most_);
}

std::vector<RowTile> RowTiling::Tiles(int64_t rows) const {
  int64_t full = most_;
  if (tile_a_thread_ && rows > 0) {
    // As few rounds as there can be, and the same work for each thread in each of them.
    const int64_t rounds = (rows + most_ * threads_ - 1) / (most_ * threads_);
    full = RoundUp((rows + rounds * threads_ - 1) / (rounds * threads_), kRowBlock);
  }
  std::vector<RowTile> tiles;
  for (int64_t first = 0; first < rows; first += full) {
    const int64_t own = std::min(full, rows - first);
    tiles.push_back({.first = first,
                     .rows = own,
                     .padded_rows = tile_a_thread_ ? RoundUp(own, kRowBlock) : Padded(own)});
  }
  return tiles;
}

std::vector<int> RowTiling::RowCounts() const {
  std::vector<int> counts;
  for (int64_t rows = 1; rows <= most_; rows = counts.back() + 1) {
    counts.push_back(static_cast<int>(tile_a_thread_ ? RoundUp(rows, kRowBlock) : Padded(rows)));
  }
  return counts;
}

}  // namespace tome
