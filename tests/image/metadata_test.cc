#include "server/image/metadata.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

// What whole files give is among the goldens of decode_test.cc; here are the blocks that no
// camera writes.

namespace tome {
namespace {

// A big-endian EXIF block of one entry, the orientation.
std::vector<uint8_t> Exif(uint8_t orientation) {
  return {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 18, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0};
}

TEST(ExifOrientationTest, IsReadWithAndWithoutTheMarkInFront) {
  std::vector<uint8_t> marked = {'E', 'x', 'i', 'f', 0, 0};
  const std::vector<uint8_t> plain = Exif(6);
  marked.insert(marked.end(), plain.begin(), plain.end());

  EXPECT_EQ(ExifOrientation(plain), 6);
  EXPECT_EQ(ExifOrientation(marked), 6);
}

TEST(ExifOrientationTest, IsNoneOfEveryTruncatedBlock) {
  const std::vector<uint8_t> exif = Exif(6);
  for (size_t bytes = 0; bytes + 2 < exif.size(); ++bytes) {
    // A copy of its own, so that reading on is seen by the address sanitizer.
    const std::vector<uint8_t> truncated(exif.begin(), exif.begin() + bytes);

    EXPECT_EQ(ExifOrientation(truncated), std::nullopt) << bytes << " bytes";
  }
}

TEST(ExifOrientationTest, IsNoneWhereOffsetsPointOutside) {
  std::vector<uint8_t> directory_outside = Exif(6);
  directory_outside[4] = 0xff;
  std::vector<uint8_t> value_outside = Exif(6);
  value_outside[14] = 0xff;  // that many values, at an offset of 0x00060000
  std::vector<uint8_t> most_entries = Exif(6);
  most_entries[8] = 0xff;

  EXPECT_EQ(ExifOrientation(directory_outside), std::nullopt);
  EXPECT_EQ(ExifOrientation(value_outside), std::nullopt);
  EXPECT_EQ(ExifOrientation(most_entries), 6);
}

TEST(OrientationOfTest, IsUprightWhereNoneOrAnUnknownOneIsWritten) {
  EXPECT_EQ(OrientationOf({}, ""), 1);
  EXPECT_EQ(OrientationOf(Exif(0), ""), 1);
  EXPECT_EQ(OrientationOf(Exif(9), ""), 1);
  EXPECT_EQ(OrientationOf({}, "tiff:Orientation=\"9\""), 1);
  EXPECT_EQ(OrientationOf({}, "tiff:Orientation"), 1);
}

TEST(OrientationOfTest, TakesTheFirstDigitOfXmpWhereExifHasNone) {
  EXPECT_EQ(OrientationOf({}, "tiff:Orientation='3' tiff:Orientation=\"6\""), 6);
  EXPECT_EQ(OrientationOf({}, "<tiff:Orientation>8</tiff:Orientation>"), 8);
  EXPECT_EQ(OrientationOf(Exif(9), "<tiff:Orientation>8</tiff:Orientation>"), 1);
}

}  // namespace
}  // namespace tome
