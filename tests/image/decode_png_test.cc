#include "server/image/decode_png.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <string>
#include <vector>

#include "tests/image/golden.h"

namespace tome {
namespace {

// Of the size in the header that every PNG starts with.
constexpr size_t kWidthOffset = 16;
constexpr size_t kHeightOffset = 20;
constexpr size_t kHeaderEnd = 33;

std::string ErrorOf(const std::vector<uint8_t>& encoded) {
  return std::string(DecodePng(encoded, ImageLimits{}).status().message());
}

TEST(DecodePngTest, RefusesTheSizeThatTheHeaderClaimsBeforeReadingOn) {
  const std::vector<uint8_t> encoded = ReadGolden("decode/rgb_8.png");
  const auto claim = [&](uint32_t width, uint32_t height) {
    return ErrorOf(
        WithBigEndian(WithBigEndian(encoded, kWidthOffset, width, 4), kHeightOffset, height, 4));
  };

  EXPECT_EQ(claim(20001, 300), "PNG header says 20001 x 300 pixels, the limit is 16384 a side");
  EXPECT_EQ(claim(300, 20001), "PNG header says 300 x 20001 pixels, the limit is 16384 a side");
  EXPECT_EQ(claim(16384, 16384),
            "PNG header says 16384 x 16384 pixels, 268435456 in all, the limit is 50000000");
  EXPECT_EQ(claim(0xffffffff, 0xffffffff),
            "PNG header says 4294967295 x 4294967295 pixels, the limit is 16384 a side");
}

TEST(DecodePngTest, TellsWhereATruncatedFileEnds) {
  const std::vector<uint8_t> plain = ReadGolden("decode/rgb_8.png");
  const std::vector<uint8_t> interlaced = ReadGolden("decode/rgb_8_interlaced.png");
  const auto cut = [](std::vector<uint8_t> encoded, size_t bytes) {
    encoded.resize(bytes);
    return encoded;
  };

  EXPECT_EQ(ErrorOf(cut(plain, 20)), "PNG ends inside its header");
  EXPECT_EQ(ErrorOf(cut(plain, 30)), "PNG ends inside its header");
  EXPECT_EQ(ErrorOf(cut(plain, OffsetOf(plain, "IDAT") + 9)),
            "PNG ends before its last row (row 0 of 29)");
  EXPECT_EQ(ErrorOf(cut(interlaced, OffsetOf(interlaced, "IDAT") + 9)),
            "PNG ends before its last row (row 0 of 29, interlace pass 1 of 7)");
}

TEST(DecodePngTest, ReadsAFileThatEndsAfterItsPixels) {
  std::vector<uint8_t> encoded = ReadGolden("decode/rgb_8.png");
  encoded.resize(encoded.size() - 12);

  const absl::StatusOr<RgbImage> image = DecodePng(encoded, ImageLimits{});

  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_TRUE(SamePixels(*image, ReadPpm("decode/rgb_8.ppm")));
}

TEST(DecodePngTest, RefusesAWrongCheckSumInAnyChunkUpToThePixels) {
  const std::vector<uint8_t> encoded = ReadGolden("decode/rgb_gamma_and_text.png");
  const std::pair<std::string, std::string> cases[] = {
      {"gAMA", "PNG header cannot be read: gAMA: CRC error"},
      {"tEXt", "PNG tEXt chunk has a wrong check sum"},
      {"abCd", "PNG header cannot be read: abCd: CRC error"},
  };
  for (const auto& [chunk, message] : cases) {
    std::vector<uint8_t> damaged = encoded;
    damaged[OffsetOf(encoded, chunk) + 4] ^= 1;

    EXPECT_EQ(DecodePng(damaged, ImageLimits{}).status(), absl::InvalidArgumentError(message));
  }

  std::vector<uint8_t> damaged = encoded;
  damaged[OffsetOf(encoded, "IEND") - 5] ^= 1;  // the last byte of the last IDAT chunk's check sum
  EXPECT_EQ(ErrorOf(damaged), "PNG cannot be decoded (row 28 of 29): IDAT: CRC error");
}

TEST(DecodePngTest, RefusesAFileThatDoesNotStartWithItsHeader) {
  std::vector<uint8_t> encoded = ReadGolden("decode/rgb_8.png");
  encoded[12] = 'J';

  EXPECT_EQ(ErrorOf(encoded), "PNG does not start with its IHDR chunk");
}

// More text than libpng would hold under the limits it is given.
TEST(DecodePngTest, PassesOverATextOfAnyLength) {
  std::vector<uint8_t> encoded = ReadGolden("decode/rgb_8.png");
  std::vector<uint8_t> chunk = {0, 0, 0, 0, 't', 'E', 'X', 't', 'k', 0};
  chunk.resize(2 << 20, 'x');
  chunk = WithBigEndian(chunk, 0, static_cast<uint32_t>(chunk.size() - 8), 4);
  const uint32_t check_sum =
      static_cast<uint32_t>(crc32(0, chunk.data() + 4, static_cast<uInt>(chunk.size() - 4)));
  chunk.resize(chunk.size() + 4);
  chunk = WithBigEndian(chunk, chunk.size() - 4, check_sum, 4);
  encoded.insert(encoded.begin() + kHeaderEnd, chunk.begin(), chunk.end());

  const absl::StatusOr<RgbImage> image = DecodePng(encoded, ImageLimits{});

  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_TRUE(SamePixels(*image, ReadPpm("decode/rgb_8.ppm")));
}

// Chunks of a name, content and check sum, put in front of the pixels.
std::vector<uint8_t> WithChunks(const std::string& name, const std::vector<uint8_t>& content,
                                int count) {
  std::vector<uint8_t> chunk(8);
  chunk.insert(chunk.begin() + 4, name.begin(), name.end());
  chunk.resize(8);
  chunk.insert(chunk.end(), content.begin(), content.end());
  chunk = WithBigEndian(chunk, 0, static_cast<uint32_t>(content.size()), 4);
  const uLong check_sum = crc32(0, chunk.data() + 4, static_cast<uInt>(chunk.size() - 4));
  chunk.resize(chunk.size() + 4);
  chunk = WithBigEndian(chunk, chunk.size() - 4, static_cast<uint32_t>(check_sum), 4);

  const std::vector<uint8_t> encoded = ReadGolden("decode/rgb_8.png");
  std::vector<uint8_t> result(encoded.begin(), encoded.begin() + kHeaderEnd);
  for (int i = 0; i < count; ++i) result.insert(result.end(), chunk.begin(), chunk.end());
  result.insert(result.end(), encoded.begin() + kHeaderEnd, encoded.end());
  return result;
}

TEST(DecodePngTest, RefusesMoreChunksThanTheLimit) {
  // IHDR, two IDAT and IEND stand beside them.
  EXPECT_EQ(ErrorOf(WithChunks("abCd", {}, 16'380)), "");
  EXPECT_EQ(ErrorOf(WithChunks("abCd", {}, 16'381)), "PNG has 16385 chunks, the limit is 16384");
}

TEST(DecodePngTest, PassesOverACompressedTextThatIsTooLong) {
  // An orientation, behind 16 MiB of spaces.
  std::vector<uint8_t> text(16 << 20, ' ');
  const std::string profile = "\nexif\n22\n4d4d002a000000080001011200030000000100060000";
  text.insert(text.end(), profile.begin(), profile.end());
  std::vector<uint8_t> compressed(compressBound(text.size()));
  uLongf bytes = compressed.size();
  ASSERT_EQ(compress(compressed.data(), &bytes, text.data(), text.size()), Z_OK);
  const std::string keyword = "Raw profile type exif";
  std::vector<uint8_t> content(keyword.begin(), keyword.end());
  content.insert(content.end(), 2, 0);  // the keyword's end, the method
  content.insert(content.end(), compressed.begin(), compressed.begin() + bytes);

  const absl::StatusOr<RgbImage> image = DecodePng(WithChunks("zTXt", content, 1), ImageLimits{});

  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_TRUE(SamePixels(*image, ReadPpm("decode/rgb_8.ppm")));
}

TEST(DecodePngTest, RefusesAnOrientationThatIsDamagedOrCutOffBehindThePixels) {
  const std::vector<uint8_t> encoded = ReadGolden("decode/png_exif_after_pixels.png");
  std::vector<uint8_t> damaged = encoded;
  damaged[OffsetOf(encoded, "eXIf") + 4] ^= 1;
  std::vector<uint8_t> cut = encoded;
  cut.resize(OffsetOf(encoded, "eXIf") + 20);

  EXPECT_EQ(ErrorOf(damaged), "PNG eXIf chunk has a wrong check sum");
  EXPECT_EQ(ErrorOf(cut), "PNG ends inside its eXIf chunk");
}

TEST(DecodePngTest, PrintsNothingAboutACorruptOrOddFile) {
  std::vector<uint8_t> corrupt = ReadGolden("decode/rgb_8.png");
  corrupt[OffsetOf(corrupt, "IDAT") + 30] ^= 0xff;
  const std::vector<uint8_t> odd = ReadGolden("decode/rgb_bytes_after_last_row.png");

  testing::internal::CaptureStderr();
  const absl::Status corrupt_status = DecodePng(corrupt, ImageLimits{}).status();
  const absl::Status odd_status = DecodePng(odd, ImageLimits{}).status();
  const std::string printed = testing::internal::GetCapturedStderr();

  EXPECT_FALSE(corrupt_status.ok());
  EXPECT_TRUE(odd_status.ok()) << odd_status;
  EXPECT_EQ(printed, "");
}

}  // namespace
}  // namespace tome
