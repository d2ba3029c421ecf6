#include "server/image/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/image/golden.h"

namespace tome {
namespace {

using testing::HasSubstr;

absl::StatusOr<RgbImage> DecodeText(const std::string& text) {
  return DecodeImage({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, ImageLimits{});
}

class GoldenDecodeTest : public testing::TestWithParam<std::string> {};

TEST_P(GoldenDecodeTest, GivesTheBytesThatPillowGives) {
  const std::string& name = GetParam();
  const std::vector<uint8_t> encoded = ReadGolden("decode/" + name);

  const absl::StatusOr<RgbImage> image = DecodeImage(encoded, ImageLimits{});

  ASSERT_TRUE(image.ok()) << image.status();
  const std::string stem = name.substr(0, name.rfind('.'));
  EXPECT_TRUE(SamePixels(*image, ReadPpm("decode/" + stem + ".ppm")));
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenDecodeTest, testing::ValuesIn(GoldenImages("decode")),
                         [](const auto& name) { return TestNameOf(name.param); });

TEST(DecodeImageTest, HasAGoldenFileOfEachKind) {
  const std::vector<std::string> names = GoldenImages("decode");

  EXPECT_EQ(names.size(), 103u);
}

TEST(DecodeImageTest, RefusesAnEmptyFileWithATextOfItsOwn) {
  const absl::StatusOr<RgbImage> image = DecodeImage({}, ImageLimits{});

  EXPECT_EQ(image.status(),
            absl::InvalidArgumentError("empty: a JPEG, PNG or WebP file is needed"));
}

TEST(DecodeImageTest, NamesTheFormatThatItDoesNotRead) {
  const std::pair<std::string, std::string> cases[] = {
      {"GIF89a\1\2", "neither JPEG, PNG nor WebP: starts with 47 49 46 38 (GIF)"},
      {std::string("RIFF\0\0\0\0WAVEfmt ", 16),
       "neither JPEG, PNG nor WebP: starts with 52 49 46 46"},
      {"BM123456", "neither JPEG, PNG nor WebP: starts with 42 4d 31 32 (BMP)"},
      {std::string("II*\0abcd", 8), "neither JPEG, PNG nor WebP: starts with 49 49 2a 00 (TIFF)"},
      {std::string("MM\0*abcd", 8), "neither JPEG, PNG nor WebP: starts with 4d 4d 00 2a (TIFF)"},
      {std::string("\0\0\0\x1c"
                   "ftypavif",
                   12),
       "neither JPEG, PNG nor WebP: starts with 00 00 00 1c (AVIF)"},
      {std::string("\0\0\0\x18"
                   "ftypheic",
                   12),
       "neither JPEG, PNG nor WebP: starts with 00 00 00 18 (HEIF)"},
      {std::string("\0\0\0\x0cjP  \r\n\x87\n", 12),
       "neither JPEG, PNG nor WebP: starts with 00 00 00 0c (JPEG 2000)"},
      {std::string("\0\0\0\x0cJXL \r\n\x87\n", 12),
       "neither JPEG, PNG nor WebP: starts with 00 00 00 0c (JPEG XL)"},
      {"\xff\x0a\x10\x20", "neither JPEG, PNG nor WebP: starts with ff 0a 10 20 (JPEG XL)"},
      {"\x89PNG\n\x1a\n",
       "neither JPEG, PNG nor WebP: starts with 89 50 4e 47 "
       "(PNG with a damaged signature)"},
      {"hello", "neither JPEG, PNG nor WebP: starts with 68 65 6c 6c"},
      {"\xff\xd8", "neither JPEG, PNG nor WebP: starts with ff d8"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_EQ(DecodeText(text).status(), absl::InvalidArgumentError(message));
  }
}

TEST(DecodeImageTest, ReadsAFileOfExactlyTheMostBytesAndRefusesOneMore) {
  const std::vector<uint8_t> encoded = ReadGolden("decode/grey.jpg");
  ImageLimits limits;
  limits.max_bytes = static_cast<int64_t>(encoded.size());

  const absl::Status at_limit = DecodeImage(encoded, limits).status();
  limits.max_bytes -= 1;
  const absl::Status over_limit = DecodeImage(encoded, limits).status();

  EXPECT_TRUE(at_limit.ok()) << at_limit;
  EXPECT_EQ(over_limit, absl::InvalidArgumentError(
                            "the file has " + std::to_string(encoded.size()) +
                            " bytes, the limit is " + std::to_string(encoded.size() - 1)));
}

// The files are 61 or 37 pixels wide and 47 or 29 high.
TEST(DecodeImageTest, ReadsAPictureOfExactlyTheLimitsAndRefusesOnePixelMore) {
  for (const std::string name :
       {"decode/baseline_420.jpg", "decode/rgb_8.png", "decode/webp_lossy.webp"}) {
    const std::vector<uint8_t> encoded = ReadGolden(name);
    const absl::StatusOr<RgbImage> image = DecodeImage(encoded, ImageLimits{});
    ASSERT_TRUE(image.ok()) << image.status();
    const int64_t pixels = int64_t{image->height} * image->width;

    const auto decode = [&](int max_side, int64_t max_pixels) {
      return DecodeImage(encoded, {.max_pixels = max_pixels, .max_side = max_side}).status();
    };

    EXPECT_TRUE(decode(image->width, pixels).ok()) << name;
    EXPECT_THAT(std::string(decode(image->width - 1, pixels).message()),
                HasSubstr("the limit is " + std::to_string(image->width - 1) + " a side"))
        << name;
    EXPECT_THAT(
        std::string(decode(image->width, pixels - 1).message()),
        HasSubstr(std::to_string(pixels) + " in all, the limit is " + std::to_string(pixels - 1)))
        << name;
  }
}

}  // namespace
}  // namespace tome
