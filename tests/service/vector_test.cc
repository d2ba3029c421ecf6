#include "server/service/vector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace tome {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::FloatEq;

uint32_t LittleEndian(const std::string& bytes, size_t first, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) {
    value |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[first + i])) << (8 * i);
  }
  return value;
}

std::vector<float> Floats(const EncodedVector& vector) {
  std::vector<float> values;
  for (size_t i = 0; i < vector.data.size(); i += 4) {
    values.push_back(std::bit_cast<float>(LittleEndian(vector.data, i, 4)));
  }
  return values;
}

std::vector<uint16_t> Halves(const EncodedVector& vector) {
  std::vector<uint16_t> values;
  for (size_t i = 0; i < vector.data.size(); i += 2) {
    values.push_back(static_cast<uint16_t>(LittleEndian(vector.data, i, 2)));
  }
  return values;
}

std::vector<int> SignedBytes(const EncodedVector& vector) {
  std::vector<int> values;
  for (const char byte : vector.data) values.push_back(static_cast<int8_t>(byte));
  return values;
}

std::vector<uint16_t> ToHalves(const std::vector<float>& values) {
  return Halves(EncodeVector(
      values, {.element_type = ElementType::kFloat16, .normalization = Normalization::kNone}));
}

// What numpy makes of it: x / norm(x) in float64, then astype(float32) and astype(float16).
const std::vector<float> kEmbedding = {0.3f, -1.2f, 0.05f, 2.0f, -0.7f, 1.1f};

TEST(VectorTest, LeavesAnEmbeddingAsItIsWhenNothingIsAskedOfIt) {
  const EncodedVector vector = EncodeVector(kEmbedding, {.normalization = Normalization::kNone});

  EXPECT_EQ(vector.type, ElementType::kFloat32);
  EXPECT_EQ(vector.dimensions, 6);
  EXPECT_EQ(vector.scale, 1.0f);
  EXPECT_THAT(Floats(vector), ElementsAreArray(kEmbedding));
}

TEST(VectorTest, NormalisesToLengthOneAsNumpyDoes) {
  const EncodedVector vector = EncodeVector(kEmbedding, {});

  EXPECT_THAT(Floats(vector), ElementsAre(0x1.c8eaaap-4f, -0x1.c8eaaap-2f, 0x1.309c72p-6f,
                                          0x1.7cc38cp-1f, -0x1.0a88e2p-2f, 0x1.a2d71cp-2f));
}

TEST(VectorTest, TruncatesBeforeItNormalises) {
  const EncodedVector vector = EncodeVector(kEmbedding, {.dimensions = 3});

  EXPECT_EQ(vector.dimensions, 3);
  EXPECT_THAT(Floats(vector), ElementsAre(0x1.f04ec2p-3f, -0x1.f04ec2p-1f, 0x1.4adf2cp-5f));
}

TEST(VectorTest, KeepsAZeroVectorZeroInEveryForm) {
  const std::vector<float> zeros(4, 0.0f);
  for (const ElementType type :
       {ElementType::kFloat32, ElementType::kFloat16, ElementType::kInt8}) {
    const EncodedVector vector = EncodeVector(zeros, {.element_type = type});

    EXPECT_THAT(SignedBytes(vector), Each(0)) << "type " << static_cast<int>(type);
    EXPECT_EQ(vector.scale, 1.0f) << "type " << static_cast<int>(type);
  }
}

TEST(VectorTest, NormalisesWhatWouldOverflowOrVanishAsAFloatSquared) {
  EXPECT_THAT(Floats(EncodeVector(std::vector<float>{3e30f, 4e30f}, {})),
              ElementsAre(FloatEq(0.6f), FloatEq(0.8f)));
  EXPECT_THAT(Floats(EncodeVector(std::vector<float>{3e-30f, 4e-30f}, {})),
              ElementsAre(FloatEq(0.6f), FloatEq(0.8f)));
}

TEST(VectorTest, ConvertsToFloat16AsNumpyDoes) {
  struct Golden {
    float value;
    uint16_t half;
  };
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  // numpy.float32(value).astype(numpy.float16).view(numpy.uint16)
  const std::vector<Golden> goldens = {
      {0.0f, 0x0000},
      {-0.0f, 0x8000},
      {1.0f, 0x3c00},
      {-1.0f, 0xbc00},
      {0x1.555556p-2f, 0x3555},  // 1/3
      {-0x1.555556p-2f, 0xb555},
      {0x1.99999ap-4f, 0x2e66},   // 0.1
      {0x1.ffcp+15f, 0x7bff},     // 65504, the largest
      {0x1.ffdffep+15f, 0x7bff},  // just below the tie with 2^16
      {0x1.ffep+15f, 0x7c00},     // 65520, the tie
      {-0x1.ffep+15f, 0xfc00},
      {1e30f, 0x7c00},
      {kInfinity, 0x7c00},
      {0x1p-14f, 0x0400},      // the smallest normal number
      {0x1.ffcp-15f, 0x0400},  // the tie between it and the largest subnormal
      {0x1p-15f, 0x0200},
      {0x1p-24f, 0x0001},  // the smallest subnormal
      {0x1p-25f, 0x0000},  // its tie with zero
      {0x1.000002p-25f, 0x0001},
      {0x1.8p-24f, 0x0002},  // ties go to the even neighbour
      {0x1.4p-23f, 0x0002},
      {0x1p-26f, 0x0000},
      {1e-40f, 0x0000},  // a subnormal float32
      {0x1.002p+0f, 0x3c00},
      {0x1.006p+0f, 0x3c02},
      {0x1.00201p+0f, 0x3c01},
      {0x1.ffep+10f, 0x6800},  // a carry into the exponent
      {0x1.006p+11f, 0x6802},
  };
  for (const Golden& golden : goldens) {
    EXPECT_THAT(ToHalves({golden.value}), ElementsAre(golden.half))
        << std::hexfloat << golden.value;
  }
}

TEST(VectorTest, RoundsEveryFloat16AndEveryTieBetweenTwoToNearestEven) {
  // The value of a positive finite float16, by its definition.
  const auto value_of = [](int half) {
    const int exponent = half >> 10;
    const int fraction = half & 0x3ff;
    return exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                         : std::ldexp(static_cast<float>(fraction + 0x400), exponent - 25);
  };
  for (int half = 0; half < 0x7bff; ++half) {
    const float value = value_of(half);
    const float tie = (value + value_of(half + 1)) / 2;
    const int even = half % 2 == 0 ? half : half + 1;

    ASSERT_THAT(
        ToHalves({value, -value, std::nextafter(tie, 0.0f), tie, std::nextafter(tie, 1e9f)}),
        ElementsAre(half, half | 0x8000, half, even, half + 1))
        << "float16 bits " << half;
  }
}

TEST(VectorTest, KeepsANanInFloat16) {
  const uint16_t half = ToHalves({std::numeric_limits<float>::quiet_NaN()})[0];

  EXPECT_GT(half & 0x7fff, 0x7c00) << half;
}

TEST(VectorTest, RoundsTheNormalisedVectorToFloat16) {
  const EncodedVector vector = EncodeVector(kEmbedding, {.element_type = ElementType::kFloat16});

  EXPECT_EQ(vector.type, ElementType::kFloat16);
  EXPECT_EQ(vector.dimensions, 6);
  EXPECT_THAT(Halves(vector), ElementsAre(0x2f24, 0xb724, 0x24c2, 0x39f3, 0xb42a, 0x368b));
}

TEST(VectorTest, QuantisesToSignedBytesByTheLargestMagnitude) {
  const EncodedVector vector = EncodeVector(kEmbedding, {.element_type = ElementType::kInt8});

  EXPECT_EQ(vector.type, ElementType::kInt8);
  EXPECT_EQ(vector.dimensions, 6);
  EXPECT_EQ(vector.scale, 0x1.7fc312p-8f);
  EXPECT_THAT(SignedBytes(vector), ElementsAre(19, -76, 3, 127, -44, 70));
}

TEST(VectorTest, RoundsAnInt8HalfAwayFromZero) {
  const EncodedVector vector =
      EncodeVector(std::vector<float>{127.0f, 0.5f, -0.5f, 2.5f, -2.5f, 0.49f},
                   {.element_type = ElementType::kInt8, .normalization = Normalization::kNone});

  EXPECT_EQ(vector.scale, 1.0f);
  EXPECT_THAT(SignedBytes(vector), ElementsAre(127, 1, -1, 3, -3, 0));
}

TEST(VectorTest, KeepsInt8InRangeWhereTheScaleIsSubnormal) {
  constexpr float kSmallest = std::numeric_limits<float>::denorm_min();
  const OutputSpec spec = {.element_type = ElementType::kInt8,
                           .normalization = Normalization::kNone};

  const EncodedVector coarse =
      EncodeVector(std::vector<float>{190 * kSmallest, -190 * kSmallest, 3 * kSmallest}, spec);
  const EncodedVector vanished = EncodeVector(std::vector<float>{kSmallest, -kSmallest}, spec);

  EXPECT_THAT(SignedBytes(coarse), ElementsAre(127, -127, 3));
  EXPECT_EQ(coarse.scale, kSmallest);
  EXPECT_THAT(SignedBytes(vanished), ElementsAre(0, 0));
  EXPECT_EQ(vanished.scale, 1.0f);
}

}  // namespace
}  // namespace tome
