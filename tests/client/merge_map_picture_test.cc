#include "client/cli/merge_map_picture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace tome::client {
namespace {

using ::testing::HasSubstr;

// Grey pixels, a row of text each, a letter a pixel.
ModelPixels Grey(const std::vector<std::string>& rows) {
  ModelPixels pixels{static_cast<uint32_t>(rows.size()), static_cast<uint32_t>(rows[0].size()), ""};
  for (const std::string& row : rows) {
    for (const char letter : row) pixels.pixels.append(3, letter);
  }
  return pixels;
}

std::string PixelOf(const RgbImage& picture, int row, int column) {
  return picture.pixels.substr((size_t(row) * picture.width + column) * 3, 3);
}

// Patches of 2 x 2 pixels in a grid of 1 x 3, of which the first two are one group.
const MergeMap kMap{1, 3, {0, 0, 1}, {2.0f, 1.0f}};

TEST(MergeMapPictureTest, GivesAGroupTheMeanColourOfItsPixels) {
  const ModelPixels pixels = Grey({"AACCYY", "AACCYY"});

  const RgbImage picture = *DrawMergeMap(pixels, kMap, 2, 4);

  EXPECT_EQ(picture.height, 8u);
  EXPECT_EQ(picture.width, 24u);
  EXPECT_EQ(PixelOf(picture, 3, 4), "BBB");
  EXPECT_EQ(PixelOf(picture, 3, 12), "BBB");
  EXPECT_EQ(PixelOf(picture, 3, 20), "YYY");
}

TEST(MergeMapPictureTest, DrawsALineAroundAGroupAndNoneWithinIt) {
  const RgbImage picture = *DrawMergeMap(Grey({"AACCYY", "AACCYY"}), kMap, 2, 4);

  // The first two patches meet at column 8, the groups at column 16.
  EXPECT_EQ(PixelOf(picture, 3, 7), "BBB");
  EXPECT_EQ(PixelOf(picture, 3, 8), "BBB");
  const std::string first = PixelOf(picture, 3, 15);
  const std::string second = PixelOf(picture, 3, 16);
  EXPECT_EQ((std::set<std::string>{"BBB", "YYY", first, second}).size(), 4u);
  EXPECT_EQ(PixelOf(picture, 0, 4), first);
  EXPECT_EQ(PixelOf(picture, 7, 20), second);
}

TEST(MergeMapPictureTest, LeavesPixelsBeyondTheLastWholePatchAsTheyAre) {
  const RgbImage picture = *DrawMergeMap(Grey({"AACCYYx", "AACCYYx", "uuuuuuu"}), kMap, 2, 2);

  EXPECT_EQ(PixelOf(picture, 1, 13), "xxx");
  EXPECT_EQ(PixelOf(picture, 5, 3), "uuu");
}

TEST(MergeMapPictureTest, RefusesAMapThatDoesNotFitThePixels) {
  const MergeMap unknown_group{1, 3, {0, 0, 2}, {2.0f, 1.0f}};

  EXPECT_THAT(DrawMergeMap(Grey({"AAAA", "AAAA"}), kMap, 2, 1).status().message(),
              HasSubstr("1 x 3 patches and 2 tokens does not fit its 2 x 4 pixels"));
  EXPECT_FALSE(DrawMergeMap(Grey({"AACCYY", "AACCYY"}), unknown_group, 2, 1).ok());
  EXPECT_FALSE(DrawMergeMap(Grey({"AACCYY", "AACCYY"}), kMap, 0, 1).ok());
  EXPECT_FALSE(DrawMergeMap(ModelPixels{}, MergeMap{}, 2, 1).ok());
}

}  // namespace
}  // namespace tome::client
