#include "server/model/row_tiles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "server/model/linear.h"

namespace tome {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(RowTilesTest, CutsRowsThatAllThreadsShareIntoFullTilesAndAPaddedRest) {
  const RowTiling tiling(/*threads=*/2, /*tile_a_thread=*/false);

  EXPECT_THAT(tiling.Tiles(590),
              ElementsAre(RowTile{.first = 0, .rows = 240, .padded_rows = 240},
                          RowTile{.first = 240, .rows = 240, .padded_rows = 240},
                          RowTile{.first = 480, .rows = 110, .padded_rows = 112}));
  EXPECT_THAT(tiling.Tiles(1), ElementsAre(RowTile{.first = 0, .rows = 1, .padded_rows = 8}));
  EXPECT_THAT(tiling.Tiles(0), IsEmpty());
}

TEST(RowTilesTest, GivesEachThreadTheSameWorkWhereATileIsAThreads) {
  const RowTiling tiling(/*threads=*/2, /*tile_a_thread=*/true);

  EXPECT_THAT(tiling.Tiles(197), ElementsAre(RowTile{.first = 0, .rows = 102, .padded_rows = 102},
                                             RowTile{.first = 102, .rows = 95, .padded_rows = 96}));
  EXPECT_EQ(tiling.Tiles(8 * 197).size(), 12u);
  EXPECT_THAT(tiling.Tiles(1), ElementsAre(RowTile{.first = 0, .rows = 1, .padded_rows = 6}));
  EXPECT_THAT(tiling.Tiles(0), IsEmpty());
}

TEST(RowTilesTest, CoversEveryRowOnceAndPadsTheLastTileToANumberThatIsListed) {
  for (const bool tile_a_thread : {false, true}) {
    for (const int threads : {1, 2, 3, 8, 64}) {
      const RowTiling tiling(threads, tile_a_thread);
      const int step = tile_a_thread ? kRowBlock : 8;
      const std::vector<int> counts = tiling.RowCounts();
      EXPECT_LE(counts.size(), 75u);
      for (int rows = 1; rows <= 3000; ++rows) {
        int64_t next = 0;
        for (const RowTile& tile : tiling.Tiles(rows)) {
          EXPECT_EQ(tile.first, next);
          next += tile.rows;
          EXPECT_EQ(tile.padded_rows % step, 0);
          EXPECT_GE(tile.padded_rows, tile.rows);
          EXPECT_TRUE(tile.padded_rows == tile.rows || next == rows);
          EXPECT_LE(tile.padded_rows - tile.rows, std::max<int64_t>(step - 1, tile.rows / 5));
          EXPECT_LE(tile.padded_rows - tile.rows, kSpareRows);
          EXPECT_TRUE(std::ranges::binary_search(counts, tile.padded_rows)) << tile.padded_rows;
        }
        EXPECT_EQ(next, rows);
      }
    }
  }
}

}  // namespace
}  // namespace tome
