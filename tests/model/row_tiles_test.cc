#include "server/model/row_tiles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace tome {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(RowTilesTest, CutsRowsIntoFullTilesAndAPaddedRest) {
  const RowTiling tiling(/*threads=*/2, /*row_step=*/8);

  EXPECT_THAT(tiling.Tiles(590),
              ElementsAre(RowTile{.first = 0, .rows = 240, .padded_rows = 240},
                          RowTile{.first = 240, .rows = 240, .padded_rows = 240},
                          RowTile{.first = 480, .rows = 110, .padded_rows = 112}));
  EXPECT_THAT(tiling.Tiles(1), ElementsAre(RowTile{.first = 0, .rows = 1, .padded_rows = 8}));
  EXPECT_THAT(tiling.Tiles(0), IsEmpty());
}

TEST(RowTilesTest, GivesManyThreadsLongerTiles) {
  EXPECT_EQ(RowTiling(1, 8).full, 240);
  EXPECT_EQ(RowTiling(4, 8).full, 480);
  EXPECT_EQ(RowTiling(64, 8).full, 1920);
}

TEST(RowTilesTest, GivesEveryTileTheSameRowsWhereTheStepIsATile) {
  EXPECT_THAT(RowTiling(16, 240).RowCounts(), ElementsAre(240));
}

TEST(RowTilesTest, PadsAFewRowsToMultiplesOfTheStepAndListsEveryNumberThereIs) {
  for (const int step : {8, 12}) {
    for (const int threads : {1, 2, 3, 8, 64}) {
      const RowTiling tiling(threads, step);
      const std::vector<int> counts = tiling.RowCounts();
      EXPECT_LE(counts.size(), 75u);
      for (int rows = 1; rows <= 3000; ++rows) {
        for (const RowTile& tile : tiling.Tiles(rows)) {
          EXPECT_EQ(tile.padded_rows % step, 0);
          EXPECT_GE(tile.padded_rows, tile.rows);
          EXPECT_LE(tile.padded_rows - tile.rows, std::max<int64_t>(step - 1, tile.rows / 5));
          EXPECT_LE(tile.padded_rows - tile.rows, kSpareRows);
          EXPECT_TRUE(std::ranges::binary_search(counts, tile.padded_rows)) << tile.padded_rows;
        }
      }
    }
  }
}

}  // namespace
}  // namespace tome
