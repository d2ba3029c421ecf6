#ifndef TOME_SERVER_MODEL_ROW_TILES_H_
#define TOME_SERVER_MODEL_ROW_TILES_H_

#include <cstdint>
#include <vector>

namespace tome {

// Rows [first, first + rows) of packed tokens, and how many a product of them computes: the rest
// are rows of no meaning behind the last.
struct RowTile {
  int64_t first = 0;
  int64_t rows = 0;
  int64_t padded_rows = 0;

  friend bool operator==(const RowTile&, const RowTile&) = default;
};

// How rows are cut: full tiles of `full` rows, and what is left padded to a multiple of `step`, of
// 4 or 8 steps where there are many.
struct RowTiling {
  // `step` is LinearRowStep(threads). Full tiles are small enough that what an MLP computes between
  // its two layers stays in the caches of the cores, and large enough that each of `threads` has
  // its share. REQUIRES: step 8, 12 or 240.
  RowTiling(int threads, int row_step);

  // oneDNN builds a kernel for each number of rows that it has not seen, which takes as long as the
  // product of a whole block. So the tiles of all batches have few different padded_rows.
  std::vector<RowTile> Tiles(int64_t rows) const;

  // Every padded_rows there is, ascending.
  std::vector<int> RowCounts() const;

  int step;
  int full;
};

// Rows that packed tokens need behind the last, so that every tile can be padded.
inline constexpr int kSpareRows = 240;

}  // namespace tome

#endif  // TOME_SERVER_MODEL_ROW_TILES_H_
