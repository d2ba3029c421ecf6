#include "server/model/row_tiles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace tome {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(RowTilesTest, GiveEachThreadTheSameWork) {
  const RowTiling tiling(/*threads=*/2, /*padded=*/false);

  EXPECT_THAT(tiling.Tiles(197),
              ElementsAre(RowTile{.first = 0, .rows = 96, .padded_rows = 96},
                          RowTile{.first = 96, .rows = 101, .padded_rows = 101}));
  EXPECT_EQ(tiling.Tiles(8 * 197).size(), 12u);
  EXPECT_THAT(tiling.Tiles(1), ElementsAre(RowTile{.first = 0, .rows = 1, .padded_rows = 1}));
  EXPECT_THAT(tiling.Tiles(0), IsEmpty());
}

TEST(RowTilesTest, ThatArePaddedAreSoBehindTheLastRow) {
  const RowTiling tiling(/*threads=*/2, /*padded=*/true);

  EXPECT_THAT(tiling.Tiles(197),
              ElementsAre(RowTile{.first = 0, .rows = 96, .padded_rows = 96},
                          RowTile{.first = 96, .rows = 101, .padded_rows = 104}));
  EXPECT_THAT(tiling.Tiles(1), ElementsAre(RowTile{.first = 0, .rows = 1, .padded_rows = 8}));
  EXPECT_THAT(tiling.Tiles(0), IsEmpty());
}

TEST(RowTilesTest, CoverEveryRowOnceInNumbersThatAreListed) {
  for (const bool padded : {false, true}) {
    for (const int threads : {1, 2, 3, 8, 64}) {
      const RowTiling tiling(threads, padded);
      const std::vector<int> counts = tiling.RowCounts();
      EXPECT_LE(counts.size(), padded ? 18u : 0u);
      for (int rows = 1; rows <= 3000; ++rows) {
        int64_t next = 0;
        int64_t shortest = rows;
        int64_t longest = 0;
        for (const RowTile& tile : tiling.Tiles(rows)) {
          EXPECT_EQ(tile.first, next);
          next += tile.rows;
          EXPECT_TRUE(tile.padded_rows == tile.rows || (padded && next == rows));
          EXPECT_GE(tile.padded_rows, tile.rows);
          EXPECT_LE(tile.padded_rows - tile.rows, kSpareRows);
          EXPECT_TRUE(!padded || std::ranges::binary_search(counts, tile.padded_rows))
              << tile.padded_rows;
          longest = std::max(longest, tile.rows);
          if (next < rows) shortest = std::min(shortest, tile.rows);  // the last one's is cut
        }
        EXPECT_EQ(next, rows);
        EXPECT_LE(longest, 144) << rows << " rows, " << threads << " threads";
        EXPECT_LE(longest - shortest, padded ? 8 : 6) << rows << " rows, " << threads << " threads";
      }
    }
  }
}

}  // namespace
}  // namespace tome
