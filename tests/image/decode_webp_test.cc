#include "server/image/decode_webp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/image/golden.h"

namespace tome {
namespace {

std::string ErrorOf(const std::vector<uint8_t>& encoded, const ImageLimits& limits = {}) {
  return std::string(DecodeWebp(encoded, limits).status().message());
}

// Of VP8X, the chunk that an extended file starts with: 24 bits each, less one.
constexpr size_t kCanvasWidthOffset = 24;
constexpr size_t kCanvasHeightOffset = 27;

std::vector<uint8_t> WithCanvas(std::vector<uint8_t> encoded, int width, int height) {
  for (int i = 0; i < 3; ++i) {
    encoded[kCanvasWidthOffset + i] = static_cast<uint8_t>((width - 1) >> (8 * i));
    encoded[kCanvasHeightOffset + i] = static_cast<uint8_t>((height - 1) >> (8 * i));
  }
  return encoded;
}

TEST(DecodeWebpTest, RefusesTheSizeThatTheHeaderClaimsBeforeReadingOn) {
  const std::vector<uint8_t> encoded = ReadGolden("decode/webp_animation.webp");

  EXPECT_EQ(ErrorOf(WithCanvas(encoded, 20001, 300)),
            "WebP header says 20001 x 300 pixels, the limit is 16384 a side");
  EXPECT_EQ(ErrorOf(WithCanvas(encoded, 300, 20001)),
            "WebP header says 300 x 20001 pixels, the limit is 16384 a side");
  EXPECT_EQ(ErrorOf(WithCanvas(encoded, 16384, 16383)),
            "WebP header says 16384 x 16383 pixels, 268419072 in all, the limit is 50000000");
}

TEST(DecodeWebpTest, RefusesAFrameOutsideItsCanvas) {
  const std::vector<uint8_t> encoded = ReadGolden("decode/webp_animation_small_first_frame.webp");

  EXPECT_EQ(ErrorOf(WithCanvas(encoded, 30, 30)),
            "WebP cannot be read: its chunks do not fit together");
}

TEST(DecodeWebpTest, TellsWhereATruncatedFileEnds) {
  std::vector<uint8_t> encoded = ReadGolden("decode/webp_lossy.webp");
  const std::string claimed = std::to_string(encoded.size());
  encoded.resize(encoded.size() - 2);

  EXPECT_EQ(ErrorOf(encoded), "WebP ends after " + std::to_string(encoded.size()) +
                                  " bytes, its header says " + claimed);
  encoded.resize(15);
  EXPECT_EQ(ErrorOf(encoded), "WebP ends after 15 bytes, its header says " + claimed);
}

TEST(DecodeWebpTest, TellsADamagedBitstreamFromAMissingFrame) {
  const std::vector<uint8_t> encoded = ReadGolden("decode/webp_lossless.webp");
  const size_t content = OffsetOf(encoded, "VP8L") + 8;
  std::vector<uint8_t> damaged = encoded;
  for (size_t i = content + 6; i < damaged.size(); ++i) damaged[i] ^= 0x5a;
  std::vector<uint8_t> no_frame = encoded;
  no_frame[OffsetOf(encoded, "VP8L")] = 'v';

  EXPECT_EQ(ErrorOf(damaged), "WebP cannot be decoded: the bitstream is damaged");
  EXPECT_EQ(ErrorOf(no_frame), "WebP cannot be read: it has no frame");
}

TEST(DecodeWebpTest, CountsChunksBeforeReadingThem) {
  const std::vector<uint8_t> encoded = ReadGolden("decode/webp_animation.webp");
  // VP8X, ANIM and two frames.
  EXPECT_EQ(ErrorOf(encoded, {.max_chunks = 4}), "");
  EXPECT_EQ(ErrorOf(encoded, {.max_chunks = 3}), "WebP has 4 chunks, the limit is 3");
}

}  // namespace
}  // namespace tome
