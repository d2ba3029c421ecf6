#include <gtest/gtest.h>

#include <random>
#include <string>
#include <thread>
#include <vector>

#include "server/image/decode.h"
#include "server/image/resize_crop.h"
#include "tests/image/golden.h"

namespace tome {
namespace {

RgbImage PixelsOf(const std::string& name) {
  return ReadPpm("decode/" + name.substr(0, name.rfind('.')) + ".ppm");
}

class HostileInputTest : public testing::TestWithParam<std::string> {};

TEST_P(HostileInputTest, ATruncatedFileIsAnErrorOrLacksNoPixel) {
  const std::vector<uint8_t> encoded = ReadGolden("decode/" + GetParam());
  const RgbImage expected = PixelsOf(GetParam());
  std::vector<size_t> lengths;
  for (size_t length = 1; length + 16 < encoded.size(); length += 64) lengths.push_back(length);
  for (size_t cut = 1; cut <= 16; ++cut) lengths.push_back(encoded.size() - cut);

  int errors = 0;
  for (const size_t length : lengths) {
    // A copy of its own, so that reading on is seen by the address sanitizer.
    const std::vector<uint8_t> truncated(encoded.begin(), encoded.begin() + length);
    const absl::StatusOr<RgbImage> image = DecodeImage(truncated, ImageLimits{});

    if (image.ok()) {
      EXPECT_TRUE(SamePixels(*image, expected)) << "of the first " << length << " bytes";
    } else {
      ++errors;
      EXPECT_TRUE(absl::IsInvalidArgument(image.status())) << image.status();
    }
  }
  EXPECT_GT(errors, 0);
}

TEST_P(HostileInputTest, FlippedBitsGiveAnErrorOrAPictureOfTheSizeItSays) {
  const std::vector<uint8_t> encoded = ReadGolden("decode/" + GetParam());
  // A flipped size may be within the default limits and yet slow under a sanitizer.
  const ImageLimits limits = {.max_pixels = 1'000'000};
  std::mt19937 random(20240229);

  int errors = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<uint8_t> damaged = encoded;
    const int flips = 1 + static_cast<int>(random() % 4);
    for (int flip = 0; flip < flips; ++flip) {
      const size_t byte = random() % damaged.size();
      damaged[byte] = static_cast<uint8_t>(damaged[byte] ^ (1u << (random() % 8)));
    }
    const absl::StatusOr<RgbImage> image = DecodeImage(damaged, limits);

    if (image.ok()) {
      EXPECT_EQ(image->pixels.size(), size_t{3} * image->height * image->width)
          << "round " << round;
      EXPECT_LE(int64_t{image->height} * image->width, limits.max_pixels) << "round " << round;
    } else {
      ++errors;
      EXPECT_TRUE(absl::IsInvalidArgument(image.status())) << image.status();
      EXPECT_FALSE(image.status().message().empty()) << "round " << round;
    }
  }
  EXPECT_GT(errors, 0);
}

INSTANTIATE_TEST_SUITE_P(Files, HostileInputTest, testing::ValuesIn(GoldenImages("decode")),
                         [](const auto& name) { return TestNameOf(name.param); });

TEST(ConcurrentDecodeTest, ThreadsDoNotSeeEachOther) {
  const std::vector<std::string> names = GoldenImages("decode");
  const Preprocessing spec = {
      .resize_height = 20, .resize_width = 20, .crop_height = 16, .crop_width = 16};
  const auto run = [&] {
    std::vector<std::vector<uint8_t>> crops;
    for (const std::string& name : names) {
      std::vector<uint8_t> encoded = ReadGolden("decode/" + name);
      const absl::StatusOr<RgbImage> image = DecodeImage(encoded, ImageLimits{});
      encoded.resize(encoded.size() / 2);
      const bool truncated_refused = !DecodeImage(encoded, ImageLimits{}).ok();
      crops.push_back(image.ok() && truncated_refused
                          ? ResizeAndCrop({image->height, image->width, image->pixels}, spec)
                          : std::vector<uint8_t>());
    }
    return crops;
  };
  const std::vector<std::vector<uint8_t>> expected = run();

  std::vector<std::vector<std::vector<uint8_t>>> found(4);
  std::vector<std::thread> threads;
  for (auto& crops : found) threads.emplace_back([&] { crops = run(); });
  for (std::thread& thread : threads) thread.join();

  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(expected[i].size(), 16u * 16u * 3u) << names[i];
    for (const auto& crops : found) EXPECT_EQ(crops[i], expected[i]) << names[i];
  }
}

}  // namespace
}  // namespace tome
