#include "server/image/resize_crop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <ostream>
#include <string>
#include <vector>

#include "tests/image/golden.h"
#include "tests/image/preprocessing_words.h"

namespace tome {
namespace {

// One line of testdata/resize/cases.txt.
struct ResizeCase {
  std::string name;
  std::string source;
  Preprocessing spec;
};

void PrintTo(const ResizeCase& line, std::ostream* out) { *out << line.name; }

std::vector<ResizeCase> ReadCases() {
  std::ifstream file(TOME_TEST_DATA "/resize/cases.txt");
  std::string header;
  std::getline(file, header);
  std::vector<ResizeCase> cases;
  ResizeCase line;
  while (file >> line.name >> line.source && ReadPreprocessing(file, &line.spec)) {
    cases.push_back(line);
  }
  return cases;
}

class GoldenResizeTest : public testing::TestWithParam<ResizeCase> {};

TEST_P(GoldenResizeTest, GivesTheBytesThatPillowGives) {
  const auto& [name, source_name, spec] = GetParam();
  const RgbImage source = ReadPpm("resize/" + source_name + ".ppm");

  const RgbImage crop = {
      .height = spec.crop_height,
      .width = spec.crop_width,
      .pixels = ResizeAndCrop({source.height, source.width, source.pixels}, spec)};

  EXPECT_TRUE(SamePixels(crop, ReadPpm("resize/" + name + ".ppm")));
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenResizeTest, testing::ValuesIn(ReadCases()),
                         [](const auto& line) { return TestNameOf(line.param.name); });

TEST(ResizeAndCropTest, HasAGoldenOfEachCase) { EXPECT_EQ(ReadCases().size(), 79u); }

// Resized whole, these lines would have 3.7 million rows or columns of 224 pixels, 2.5 GB.
TEST(ResizeAndCropTest, ComputesOnlyWhatTheCropKeepsOfALine) {
  const Preprocessing spec = {
      .resize_height = 224, .resize_width = 224, .crop_height = 224, .crop_width = 224};
  const std::vector<uint8_t> line(3 * 16'384, 77);

  const std::vector<uint8_t> from_row = ResizeAndCrop({1, 16'384, line}, spec);
  const std::vector<uint8_t> from_column = ResizeAndCrop({16'384, 1, line}, spec);

  const std::vector<uint8_t> expected(224 * 224 * 3, 77);
  EXPECT_EQ(from_row, expected);
  EXPECT_EQ(from_column, expected);
}

TEST(ResizeAndCropTest, PadsASmallerPictureWithZeros) {
  const Preprocessing spec = {.resize = Preprocessing::Resize::kExact,
                              .resize_height = 2,
                              .resize_width = 2,
                              .crop_height = 4,
                              .crop_width = 4};
  const std::vector<uint8_t> white(2 * 2 * 3, 255);

  const std::vector<uint8_t> crop = ResizeAndCrop({2, 2, white}, spec);

  ASSERT_EQ(crop.size(), 48u);
  for (int i = 0; i < 48; ++i) {
    const int row = i / 12;
    const int column = i / 3 % 4;
    const bool inside = row >= 1 && row <= 2 && column >= 1 && column <= 2;
    EXPECT_EQ(crop[i], inside ? 255 : 0) << "row " << row << ", column " << column;
  }
}

}  // namespace
}  // namespace tome
