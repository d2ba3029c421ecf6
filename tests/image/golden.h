#ifndef TOME_TESTS_IMAGE_GOLDEN_H_
#define TOME_TESTS_IMAGE_GOLDEN_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "server/image/image.h"

// The files of testdata/, which make_testdata.py makes.

namespace tome {

// The bytes of testdata/`name`, such as "decode/grey.jpg". Fails the test if there are none.
std::vector<uint8_t> ReadGolden(const std::string& name);

// The pixels of testdata/`name`, a .ppm file.
RgbImage ReadPpm(const std::string& name);

// The .jpg, .png and .webp files of testdata/`folder`, sorted, without the folder.
std::vector<std::string> GoldenImages(const std::string& folder);

// `encoded` with the bytes from `offset` on replaced by the big-endian `value` of `bytes` bytes.
std::vector<uint8_t> WithBigEndian(std::vector<uint8_t> encoded, size_t offset, uint32_t value,
                                   int bytes);

// The offset of `pattern` in `encoded`; fails the test if it is not there.
size_t OffsetOf(std::span<const uint8_t> encoded, const std::string& pattern);

// Equal to the bit; otherwise tells the sizes or the first pixel that differs.
testing::AssertionResult SamePixels(const RgbImage& actual, const RgbImage& expected);

// A golden's name as GoogleTest allows it in a test's name.
std::string TestNameOf(const std::string& golden);

}  // namespace tome

#endif  // TOME_TESTS_IMAGE_GOLDEN_H_
