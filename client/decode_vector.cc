#include "client/decode_vector.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace tome::client {
namespace {

uint8_t Byte(absl::string_view data, size_t index) { return static_cast<uint8_t>(data[index]); }

float Float32(absl::string_view data, size_t element) {
  uint32_t bits = 0;
  for (size_t i = 0; i < 4; ++i) bits |= uint32_t{Byte(data, 4 * element + i)} << (8 * i);
  return std::bit_cast<float>(bits);
}

float Float16(absl::string_view data, size_t element) {
  const int bits = Byte(data, 2 * element) | Byte(data, 2 * element + 1) << 8;
  const float sign = (bits & 0x8000) != 0 ? -1.0f : 1.0f;
  const int exponent = bits >> 10 & 0x1f;
  const int fraction = bits & 0x3ff;
  if (exponent == 0x1f) {
    return fraction != 0 ? std::numeric_limits<float>::quiet_NaN()
                         : sign * std::numeric_limits<float>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  return sign * std::ldexp(static_cast<float>(fraction + 0x400), exponent - 25);
}

float Int8(absl::string_view data, size_t element, float scale) {
  return static_cast<float>(static_cast<int8_t>(Byte(data, element))) * scale;
}

size_t BytesPerElement(ElementType type) {
  switch (type) {
    case ElementType::kFloat32:
      return 4;
    case ElementType::kFloat16:
      return 2;
    case ElementType::kInt8:
      return 1;
  }
  return 0;
}

}  // namespace

std::optional<std::vector<float>> DecodeVector(ElementType type, absl::string_view data,
                                               size_t count, float scale) {
  const size_t bytes = BytesPerElement(type);
  if (bytes == 0 || data.size() % bytes != 0 || data.size() / bytes != count) return std::nullopt;
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    switch (type) {
      case ElementType::kFloat32:
        values[i] = Float32(data, i);
        break;
      case ElementType::kFloat16:
        values[i] = Float16(data, i);
        break;
      case ElementType::kInt8:
        values[i] = Int8(data, i, scale);
        break;
    }
  }
  return values;
}

}  // namespace tome::client
