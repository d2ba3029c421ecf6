#ifndef TOME_SERVER_MODEL_ROW_TILES_H_
#define TOME_SERVER_MODEL_ROW_TILES_H_

#include <cstdint>
#include <vector>

namespace tome {

// Rows [first, first + rows) of packed tokens, and how many a product of them computes: the rest
// are rows of no meaning behind the last of all.
struct RowTile {
  int64_t first = 0;
  int64_t rows = 0;
  int64_t padded_rows = 0;

  friend bool operator==(const RowTile&, const RowTile&) = default;
};

// How rows are cut into tiles, so that a row's bits do not depend on the others and what one layer
// leaves of a tile is in the cache when the next one reads it. Immutable, thread-safe.
class RowTiling {
 public:
  // As ProductsKeepRowBits() has it for `threads` threads.
  explicit RowTiling(int threads);
  RowTiling(int threads, bool tile_a_thread);

  // Whether each tile's products run on a thread of their own, many tiles at once. Otherwise one
  // tile follows another and all threads share a product.
  bool tile_a_thread() const { return tile_a_thread_; }

  // Ascending, none empty; only the last one is padded.
  std::vector<RowTile> Tiles(int64_t rows) const;

  // Every padded_rows there is, ascending: few, since oneDNN builds a kernel for each number of
  // rows that it has not seen, which takes as long as the product of a whole block.
  std::vector<int> RowCounts() const;

 private:
  // What is left of shared tiles, padded.
  int64_t Padded(int64_t rows) const;

  int threads_;
  bool tile_a_thread_;
  int64_t most_;  // rows of a tile
};

// Rows that packed tokens need behind the last, so that every tile can be padded.
inline constexpr int kSpareRows = 240;

}  // namespace tome

#endif  // TOME_SERVER_MODEL_ROW_TILES_H_
