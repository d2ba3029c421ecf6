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

// How rows are cut into tiles, each of which one thread takes through several layers: what a layer
// leaves of it is in the thread's cache when the next one reads it, and threads wait for each other
// only where tokens meet. A row's bits do not depend on the others. Immutable, thread-safe.
class RowTiling {
 public:
  // Padded where MultipliesByOneDnn().
  explicit RowTiling(int threads);
  RowTiling(int threads, bool padded);

  // Ascending, none empty; only the last one is padded.
  std::vector<RowTile> Tiles(int64_t rows) const;

  // Every padded_rows that there is, ascending; none where tiles are not padded. They are few,
  // since oneDNN builds a kernel for each number of rows that it has not seen, which takes as long
  // as the product of a whole block.
  std::vector<int> RowCounts() const;

 private:
  int threads_;
  bool padded_;
  int64_t step_;  // a tile's rows are a multiple of it, the last one's aside
};

// Rows that packed tokens need behind the last, so that every tile can be padded.
inline constexpr int kSpareRows = 7;

}  // namespace tome

#endif  // TOME_SERVER_MODEL_ROW_TILES_H_
