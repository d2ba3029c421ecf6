#include "client/decode_vector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace tome::client {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;

std::string Bytes(const std::vector<int>& bytes) { return {bytes.begin(), bytes.end()}; }

TEST(DecodeVectorTest, ReadsLittleEndianFloat32) {
  const std::string data = Bytes({0x00, 0x00, 0x80, 0x3f, 0x00, 0x00, 0x20, 0xc0});

  EXPECT_THAT(DecodeVector(ElementType::kFloat32, data, 2, 1.0f),
              Optional(ElementsAre(1.0f, -2.5f)));
}

TEST(DecodeVectorTest, ReadsNormalSubnormalAndInfiniteFloat16) {
  const std::string data = Bytes({0x00, 0x3c, 0x00, 0xc1, 0x01, 0x00, 0xff, 0x7b, 0x00, 0xfc});

  EXPECT_THAT(DecodeVector(ElementType::kFloat16, data, 5, 1.0f),
              Optional(ElementsAre(1.0f, -2.5f, std::ldexp(1.0f, -24), 65504.0f,
                                   -std::numeric_limits<float>::infinity())));
}

TEST(DecodeVectorTest, KeepsAFloat16NaN) {
  const auto values = DecodeVector(ElementType::kFloat16, Bytes({0x00, 0x7e}), 1, 1.0f);

  ASSERT_TRUE(values.has_value());
  EXPECT_TRUE(std::isnan(values->front())) << values->front();
}

TEST(DecodeVectorTest, MultipliesSignedBytesByTheScale) {
  EXPECT_THAT(DecodeVector(ElementType::kInt8, Bytes({127, 0x81, 0}), 3, 0.5f),
              Optional(ElementsAre(63.5f, -63.5f, 0.0f)));
}

TEST(DecodeVectorTest, RefusesAnotherNumberOfBytes) {
  EXPECT_EQ(DecodeVector(ElementType::kFloat32, "1234567", 2, 1.0f), std::nullopt);
  EXPECT_EQ(DecodeVector(ElementType::kFloat32, "12345678", 1, 1.0f), std::nullopt);
  EXPECT_EQ(DecodeVector(ElementType::kFloat16, "1234", 1, 1.0f), std::nullopt);
  EXPECT_EQ(DecodeVector(ElementType::kInt8, "12", 3, 1.0f), std::nullopt);
}

}  // namespace
}  // namespace tome::client
