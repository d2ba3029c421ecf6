#include "server/model/row_tiles.h"

#include <algorithm>

namespace tome {
namespace {

int64_t Padded(const RowTiling& tiling, int64_t rows) {
  const int64_t step = tiling.step * (rows <= 240 ? 1 : (rows <= 960 ? 4 : 8));
  return std::min<int64_t>((rows + step - 1) / step * step, tiling.full);
}

}  // namespace

RowTiling::RowTiling(int threads, int row_step)
    : step(row_step), full(step == 240 ? step : std::clamp(120 * threads, 240, 1920)) {}

std::vector<RowTile> RowTiling::Tiles(int64_t rows) const {
  std::vector<RowTile> tiles;
  for (int64_t first = 0; first < rows; first += full) {
    const int64_t own = std::min<int64_t>(full, rows - first);
    tiles.push_back({.first = first, .rows = own, .padded_rows = Padded(*this, own)});
  }
  return tiles;
}

std::vector<int> RowTiling::RowCounts() const {
  std::vector<int> counts;
  for (int rows = 1; rows <= full; rows = counts.back() + 1) {
    counts.push_back(static_cast<int>(Padded(*this, rows)));
  }
  return counts;
}

}  // namespace tome
