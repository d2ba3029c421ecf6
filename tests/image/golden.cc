#include "tests/image/golden.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace tome {

std::vector<uint8_t> ReadGolden(const std::string& name) {
  std::ifstream file(std::string(TOME_TEST_DATA "/") + name, std::ios::binary);
  std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
  EXPECT_FALSE(bytes.empty()) << name << " is missing or empty";
  return bytes;
}

RgbImage ReadPpm(const std::string& name) {
  std::ifstream file(std::string(TOME_TEST_DATA "/") + name, std::ios::binary);
  std::string magic;
  int largest = 0;
  RgbImage image;
  file >> magic >> image.width >> image.height >> largest;
  file.get();
  image.pixels.assign(std::istreambuf_iterator<char>(file), {});
  EXPECT_EQ(magic, "P6") << name;
  EXPECT_EQ(largest, 255) << name;
  EXPECT_EQ(image.pixels.size(), size_t{3} * image.height * image.width) << name;
  return image;
}

std::vector<std::string> GoldenImages(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(TOME_TEST_DATA "/") + folder)) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".jpg" || extension == ".png" || extension == ".webp") {
      names.push_back(entry.path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<uint8_t> WithBigEndian(std::vector<uint8_t> encoded, size_t offset, uint32_t value,
                                   int bytes) {
  for (int i = 0; i < bytes; ++i) {
    encoded.at(offset + i) = static_cast<uint8_t>(value >> (8 * (bytes - 1 - i)));
  }
  return encoded;
}

size_t OffsetOf(std::span<const uint8_t> encoded, const std::string& pattern) {
  const auto found =
      std::search(encoded.begin(), encoded.end(), pattern.begin(), pattern.end(),
                  [](uint8_t byte, char c) { return byte == static_cast<uint8_t>(c); });
  EXPECT_NE(found, encoded.end()) << "no such bytes in the file";
  return found - encoded.begin();
}

testing::AssertionResult SamePixels(const RgbImage& actual, const RgbImage& expected) {
  if (actual.height != expected.height || actual.width != expected.width) {
    return testing::AssertionFailure()
           << actual.width << " x " << actual.height << " pixels, expected " << expected.width
           << " x " << expected.height;
  }
  if (actual.pixels.size() != expected.pixels.size()) {
    return testing::AssertionFailure()
           << actual.pixels.size() << " bytes, expected " << expected.pixels.size();
  }
  const auto [found, wanted] =
      std::mismatch(actual.pixels.begin(), actual.pixels.end(), expected.pixels.begin());
  if (found == actual.pixels.end()) return testing::AssertionSuccess();
  const auto pixel = (found - actual.pixels.begin()) / 3;
  return testing::AssertionFailure()
         << "channel " << (found - actual.pixels.begin()) % 3 << " of row " << pixel / actual.width
         << ", column " << pixel % actual.width << " is " << static_cast<int>(*found)
         << ", expected " << static_cast<int>(*wanted);
}

std::string TestNameOf(const std::string& golden) {
  std::string name = golden;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
}

}  // namespace tome
