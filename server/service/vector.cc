#include "server/service/vector.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

namespace tome {
namespace {

template <typename Unsigned>
void AppendLittleEndian(std::string& bytes, Unsigned value) {
  for (size_t i = 0; i < sizeof(Unsigned); ++i) {
    bytes.push_back(static_cast<char>(static_cast<uint8_t>(value >> (8 * i))));
  }
}

// IEEE 754 binary16 by integer arithmetic: no compiler's half type and no instruction set assumed.
uint16_t ToFloat16(float value) {
  constexpr int kDroppedBits = 23 - 10;  // of the fraction
  constexpr uint32_t kInfinity32 = 0xffu << 23;
  constexpr uint16_t kInfinity16 = 0x1fu << 10;
  constexpr uint16_t kQuietBit16 = 1u << 9;
  constexpr uint32_t kOverflow = 0x477ff000u;               // 65520, halfway to 2^16
  constexpr uint32_t kSmallestNormal = (127u - 14u) << 23;  // 2^-14

  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > kInfinity32) return sign | kInfinity16 | kQuietBit16;
  if (magnitude >= kOverflow) return sign | kInfinity16;

  // The result is `kept` in units of its last place, plus one if what is dropped rounds up; a carry
  // out of the fraction rightly ends up in the exponent.
  uint32_t kept = 0;
  uint32_t dropped = 0;
  uint32_t half = 0;
  if (magnitude >= kSmallestNormal) {
    const uint32_t rebiased = magnitude - ((127u - 15u) << 23);
    kept = rebiased >> kDroppedBits;
    dropped = rebiased & ((1u << kDroppedBits) - 1);
    half = 1u << (kDroppedBits - 1);
  } else {
    // Subnormal: a multiple of 2^-24. With its hidden bit the fraction is a multiple of
    // 2^(exponent - 150), so 126 - exponent bits are dropped.
    const uint32_t exponent = magnitude >> 23;
    const uint32_t shift = 126 - exponent;
    if (shift > 24) return sign;  // below half of the smallest subnormal
    const uint32_t fraction = (magnitude & 0x7fffffu) | 0x800000u;
    kept = fraction >> shift;
    dropped = fraction & ((1u << shift) - 1);
    half = 1u << (shift - 1);
  }
  if (dropped > half || (dropped == half && (kept & 1u) != 0)) ++kept;
  return static_cast<uint16_t>(sign | kept);
}

void NormalizeL2(std::vector<float>& values) {
  double sum_of_squares = 0.0;
  for (const float value : values) sum_of_squares += static_cast<double>(value) * value;
  if (sum_of_squares == 0.0) return;
  const double norm = std::sqrt(sum_of_squares);
  for (float& value : values) value = static_cast<float>(value / norm);
}

void EncodeInt8(std::span<const float> values, EncodedVector& vector) {
  float largest = 0.0f;
  for (const float value : values) largest = std::max(largest, std::abs(value));
  const float scale = largest / 127.0f;
  // Also where the scale of a subnormal vector would round to zero.
  if (scale == 0.0f) {
    vector.data.assign(values.size(), '\0');
    return;
  }
  vector.scale = scale;
  for (const float value : values) {
    // A subnormal scale is coarse enough to miss the range.
    const double element =
        std::clamp(std::round(static_cast<double>(value) / scale), -127.0, 127.0);
    vector.data.push_back(static_cast<char>(static_cast<int8_t>(element)));
  }
}

}  // namespace

EncodedVector EncodeVector(std::span<const float> embedding, const OutputSpec& spec) {
  const size_t dimensions = spec.dimensions == 0 ? embedding.size() : spec.dimensions;
  std::vector<float> values(embedding.begin(), embedding.begin() + dimensions);
  if (spec.normalization == Normalization::kL2) NormalizeL2(values);

  EncodedVector vector;
  vector.type = spec.element_type;
  vector.dimensions = static_cast<int>(dimensions);
  vector.data.reserve(dimensions * sizeof(float));
  switch (spec.element_type) {
    case ElementType::kFloat32:
      for (const float value : values) {
        AppendLittleEndian(vector.data, std::bit_cast<uint32_t>(value));
      }
      break;
    case ElementType::kFloat16:
      for (const float value : values) AppendLittleEndian(vector.data, ToFloat16(value));
      break;
    case ElementType::kInt8:
      EncodeInt8(values, vector);
      break;
  }
  return vector;
}

}  // namespace tome
