#include "server/image/decode_jpeg.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "tests/image/golden.h"

namespace tome {
namespace {

using testing::StartsWith;

std::string ErrorOf(const std::vector<uint8_t>& encoded) {
  return std::string(DecodeJpeg(encoded, ImageLimits{}).status().message());
}

// Where a frame header (marker FF C0 or FF C2) has its height, then its width.
size_t SizeOffset(const std::vector<uint8_t>& encoded, const char* marker) {
  return OffsetOf(encoded, marker) + 5;
}

// A progressive grey JPEG of 8 x 8 pixels that brings its one DC coefficient `scans` times. The
// only Huffman code is the bit 0, which stands for a coefficient of zero.
std::vector<uint8_t> JpegOfScans(int scans, const std::vector<uint8_t>& scan_bits = {0x7f}) {
  std::vector<uint8_t> encoded;
  const auto append = [&](std::initializer_list<int> bytes) {
    for (const int byte : bytes) encoded.push_back(static_cast<uint8_t>(byte));
  };
  append({0xff, 0xd8, 0xff, 0xdb, 0, 67, 0});
  encoded.insert(encoded.end(), 64, 1);
  append({0xff, 0xc2, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0});
  append({0xff, 0xc4, 0, 20, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  for (int scan = 0; scan < scans; ++scan) {
    append({0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0});
    encoded.insert(encoded.end(), scan_bits.begin(), scan_bits.end());
  }
  append({0xff, 0xd9});
  return encoded;
}

TEST(DecodeJpegTest, NamesTheKindThatItDoesNotRead) {
  const std::pair<std::string, std::string> cases[] = {
      {"refused/arithmetic.jpg", "an arithmetic-coded JPEG; Huffman-coded ones are read"},
      {"refused/two_components.jpg",
       "a JPEG of 2 components; 1 (grey), 3 and 4 (CMYK, YCCK) are read"},
      {"refused/twelve_bit.jpg", "JPEG header cannot be read: Unsupported JPEG data precision 12"},
  };
  for (const auto& [name, message] : cases) {
    EXPECT_EQ(DecodeJpeg(ReadGolden(name), ImageLimits{}).status(),
              absl::InvalidArgumentError(message))
        << name;
  }
}

TEST(DecodeJpegTest, RefusesTheSizeThatTheHeaderClaimsBeforeReadingOn) {
  const std::vector<uint8_t> encoded = ReadGolden("decode/baseline_420.jpg");
  const size_t height = SizeOffset(encoded, "\xff\xc0");
  const size_t width = height + 2;

  EXPECT_EQ(ErrorOf(WithBigEndian(encoded, width, 20001, 2)),
            "JPEG header says 20001 x 47 pixels, the limit is 16384 a side");
  EXPECT_EQ(ErrorOf(WithBigEndian(encoded, height, 20001, 2)),
            "JPEG header says 61 x 20001 pixels, the limit is 16384 a side");
  EXPECT_EQ(ErrorOf(WithBigEndian(WithBigEndian(encoded, width, 9000, 2), height, 8000, 2)),
            "JPEG header says 9000 x 8000 pixels, 72000000 in all, the limit is 50000000");
  // More than libjpeg takes.
  EXPECT_EQ(ErrorOf(WithBigEndian(encoded, width, 65535, 2)),
            "JPEG header says 65535 x 47 pixels, the limit is 16384 a side");
  EXPECT_THAT(ErrorOf(WithBigEndian(encoded, height, 0, 2)),
              StartsWith("JPEG header cannot be read: Empty JPEG image"));
}

TEST(DecodeJpegTest, ReadsAsManyScansAsTheLimitAllows) {
  const absl::StatusOr<RgbImage> image = DecodeJpeg(JpegOfScans(64), ImageLimits{});

  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_TRUE(
      SamePixels(*image, {.height = 8, .width = 8, .pixels = std::vector<uint8_t>(192, 128)}));
}

TEST(DecodeJpegTest, RefusesMoreScansThanTheLimitBeforeReadingTheFirst) {
  EXPECT_EQ(ErrorOf(JpegOfScans(65)), "JPEG has 65 scans, the limit is 64");
  EXPECT_EQ(ErrorOf(JpegOfScans(10'000)), "JPEG has 10000 scans, the limit is 64");
}

TEST(DecodeJpegTest, TellsWhereATruncatedFileEnds) {
  std::vector<uint8_t> baseline = ReadGolden("decode/baseline_420.jpg");
  std::vector<uint8_t> progressive = ReadGolden("decode/progressive_420.jpg");
  std::vector<uint8_t> header = baseline;

  baseline.resize(OffsetOf(baseline, "\xff\xda") + 40);
  progressive.resize(progressive.size() - 40);
  header.resize(100);

  EXPECT_EQ(ErrorOf(baseline), "JPEG ends before its last scan line (row 0 of 47)");
  EXPECT_EQ(ErrorOf(progressive), "JPEG ends before its end marker (scan 10)");
  EXPECT_EQ(ErrorOf(header), "JPEG ends inside its header");
}

TEST(DecodeJpegTest, ReadsABaselineFileThatLacksNothingButItsEndMarker) {
  std::vector<uint8_t> encoded = ReadGolden("decode/baseline_420.jpg");
  encoded.resize(encoded.size() - 2);

  const absl::StatusOr<RgbImage> image = DecodeJpeg(encoded, ImageLimits{});

  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_TRUE(SamePixels(*image, ReadPpm("decode/baseline_420.ppm")));
}

TEST(DecodeJpegTest, RefusesAProgressiveFileWithoutItsEndMarker) {
  std::vector<uint8_t> encoded = ReadGolden("decode/progressive_420.jpg");
  encoded.resize(encoded.size() - 2);

  EXPECT_EQ(ErrorOf(encoded), "JPEG ends before its end marker (scan 10)");
}

TEST(DecodeJpegTest, PassesOverBytesThatAreNoPartOfThePicture) {
  const RgbImage expected = ReadPpm("decode/progressive_420.ppm");
  const std::vector<uint8_t> encoded = ReadGolden("decode/progressive_420.jpg");
  std::vector<uint8_t> before_marker = encoded;
  const std::vector<uint8_t> junk = {0, 0, 'j', 'u', 'n', 'k'};
  before_marker.insert(before_marker.end() - 2, junk.begin(), junk.end());
  std::vector<uint8_t> after_end = encoded;
  after_end.insert(after_end.end(), junk.begin(), junk.end());

  for (const auto& file : {before_marker, after_end}) {
    const absl::StatusOr<RgbImage> image = DecodeJpeg(file, ImageLimits{});

    ASSERT_TRUE(image.ok()) << image.status();
    EXPECT_TRUE(SamePixels(*image, expected));
  }
}

TEST(DecodeJpegTest, RefusesLostDataInsteadOfPaintingItGrey) {
  std::vector<uint8_t> encoded = ReadGolden("decode/baseline_restarts.jpg");
  // From one restart marker to the next: a stretch of blocks is gone.
  const size_t from = OffsetOf(encoded, "\xff\xd1");
  const size_t to = OffsetOf(encoded, "\xff\xd3");
  encoded.erase(encoded.begin() + from, encoded.begin() + to);

  EXPECT_EQ(
      ErrorOf(encoded),
      "JPEG cannot be decoded (row 14 of 47): Corrupt JPEG data: found marker 0xd3 instead of "
      "RST1");
}

TEST(DecodeJpegTest, RefusesBitsThatAreNoHuffmanCode) {
  EXPECT_EQ(ErrorOf(JpegOfScans(1, {0x80, 0, 0, 0})),
            "JPEG cannot be decoded (scan 1): Corrupt JPEG data: bad Huffman code");
}

TEST(DecodeJpegTest, PrintsNothingAboutACorruptFile) {
  std::vector<uint8_t> encoded = ReadGolden("decode/baseline_420.jpg");
  for (size_t i = OffsetOf(encoded, "\xff\xda") + 20; i < encoded.size(); i += 7) {
    encoded[i] ^= 0x5a;
  }

  testing::internal::CaptureStderr();
  const absl::Status status = DecodeJpeg(encoded, ImageLimits{}).status();
  const std::string printed = testing::internal::GetCapturedStderr();

  EXPECT_FALSE(status.ok());
  EXPECT_EQ(printed, "");
}

}  // namespace
}  // namespace tome
