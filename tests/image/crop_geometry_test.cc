#include "server/image/crop_geometry.h"

#include <gtest/gtest.h>

#include <ostream>
#include <utility>

namespace tome {

void PrintTo(const CropAxis& axis, std::ostream* out) {
  *out << "{resized " << axis.resized << ", first " << axis.first << ", kept " << axis.kept
       << ", padding " << axis.padding << "}";
}

namespace {

using CropOffset = Preprocessing::CropOffset;
using Resize = Preprocessing::Resize;

Preprocessing Shortest(int edge, int crop) {
  return {.resize_height = edge, .resize_width = edge, .crop_height = crop, .crop_width = crop};
}

Preprocessing Exact(int height, int width, int crop, CropOffset offset) {
  return {.resize = Resize::kExact,
          .resize_height = height,
          .resize_width = width,
          .crop_offset = offset,
          .crop_height = crop,
          .crop_width = crop};
}

TEST(CropGeometryTest, TheShorterSideBecomesTheTargetAndTheLongerIsTruncated) {
  // 256 * 640 / 480 = 341.33, 235 * 500 / 333 = 352.85.
  EXPECT_EQ(ComputeCropGeometry(480, 640, Shortest(256, 224)).rows,
            (CropAxis{.resized = 256, .first = 16, .kept = 224}));
  EXPECT_EQ(ComputeCropGeometry(480, 640, Shortest(256, 224)).columns.resized, 341);
  EXPECT_EQ(ComputeCropGeometry(500, 333, Shortest(235, 224)).rows.resized, 352);
  EXPECT_EQ(ComputeCropGeometry(500, 333, Shortest(235, 224)).columns.resized, 235);
}

TEST(CropGeometryTest, AShorterSideThatFitsLeavesThePictureAsItIs) {
  const CropGeometry geometry = ComputeCropGeometry(256, 777, Shortest(256, 224));

  EXPECT_EQ(geometry.rows.resized, 256);
  EXPECT_EQ(geometry.columns.resized, 777);
}

TEST(CropGeometryTest, AnExactSizeDoesNotLookAtTheAspectRatio) {
  const CropGeometry geometry =
      ComputeCropGeometry(480, 640, Exact(224, 192, 192, CropOffset::kHalfToEven));

  EXPECT_EQ(geometry.rows, (CropAxis{.resized = 224, .first = 16, .kept = 192}));
  EXPECT_EQ(geometry.columns, (CropAxis{.resized = 192, .first = 0, .kept = 192}));
}

TEST(CropGeometryTest, CoveringOrFittingKeepsTheAspectRatioAndRoundsHalvesToEven) {
  const auto resized = [](int height, int width, Resize resize) {
    const CropGeometry geometry = ComputeCropGeometry(height, width,
                                                      {.resize = resize,
                                                       .resize_height = 100,
                                                       .resize_width = 50,
                                                       .crop_height = 100,
                                                       .crop_width = 50});
    return std::pair(geometry.rows.resized, geometry.columns.resized);
  };

  EXPECT_EQ(resized(480, 640, Resize::kCover), std::pair(int64_t{100}, int64_t{133}));
  EXPECT_EQ(resized(480, 640, Resize::kFit), std::pair(int64_t{38}, int64_t{50}));     // 37.5
  EXPECT_EQ(resized(365, 100, Resize::kCover), std::pair(int64_t{182}, int64_t{50}));  // 182.5
  EXPECT_EQ(resized(365, 100, Resize::kFit), std::pair(int64_t{100}, int64_t{27}));
  EXPECT_EQ(resized(1, 16'384, Resize::kFit), std::pair(int64_t{1}, int64_t{50}));
}

TEST(CropGeometryTest, WithoutAResizeThePictureIsCroppedAsItIs) {
  const CropGeometry geometry =
      ComputeCropGeometry(480, 60, {.resize = Resize::kNone, .crop_height = 224, .crop_width = 64});

  EXPECT_EQ(geometry.rows, (CropAxis{.resized = 480, .first = 128, .kept = 224}));
  EXPECT_EQ(geometry.columns, (CropAxis{.resized = 60, .kept = 60, .padding = 2}));
}

TEST(CropGeometryTest, AnOddDifferenceIsHalvedToEvenOrDown) {
  const struct {
    int resized;
    int to_even;
    int down;
  } cases[] = {{100, 0, 0}, {101, 0, 0}, {102, 1, 1}, {103, 2, 1}, {105, 2, 2}, {107, 4, 3}};
  const auto first = [](int resized, CropOffset offset) {
    return ComputeCropGeometry(50, 50, Exact(resized, resized, 100, offset)).rows.first;
  };
  for (const auto& [resized, to_even, down] : cases) {
    EXPECT_EQ(first(resized, CropOffset::kHalfToEven), to_even) << resized;
    EXPECT_EQ(first(resized, CropOffset::kDown), down) << resized;
  }
}

TEST(CropGeometryTest, ASmallerPictureIsKeptWholeAndPadded) {
  const auto columns = [](CropOffset offset) {
    return ComputeCropGeometry(50, 50, Exact(104, 95, 100, offset)).columns;
  };

  EXPECT_EQ(columns(CropOffset::kHalfToEven), (CropAxis{.resized = 95, .kept = 95, .padding = 2}));
  EXPECT_EQ(columns(CropOffset::kDown), (CropAxis{.resized = 95, .kept = 95, .padding = 3}));
  EXPECT_EQ(ComputeCropGeometry(50, 50, Exact(104, 95, 100, CropOffset::kDown)).rows,
            (CropAxis{.resized = 104, .first = 2, .kept = 100}));
}

TEST(CropGeometryTest, ALineOfPixelsDoesNotOverflow) {
  const CropGeometry geometry = ComputeCropGeometry(1, 50'000'000, Shortest(1024, 1000));

  EXPECT_EQ(geometry.columns.resized, 51'200'000'000);
  EXPECT_EQ(geometry.columns.first, 25'599'999'500);
  EXPECT_EQ(geometry.columns.kept, 1000);
}

}  // namespace
}  // namespace tome
