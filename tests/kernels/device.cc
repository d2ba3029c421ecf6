#include "tests/kernels/device.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace tome::kernels {

void Check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  std::abort();
}

DeviceBytes::DeviceBytes(size_t bytes) : bytes_(bytes) {
  void* base = nullptr;
  Check(cudaMalloc(&base, bytes + 2 * kGuard), "cudaMalloc");
  base_ = static_cast<uint8_t*>(base);
  Check(cudaMemset(base_, 0xff, bytes + 2 * kGuard), "cudaMemset");
}

DeviceBytes::~DeviceBytes() { Check(cudaFree(base_), "cudaFree"); }

void DeviceBytes::Upload(const void* from) {
  if (bytes_ > 0) Check(cudaMemcpy(data(), from, bytes_, cudaMemcpyHostToDevice), "upload");
}

std::vector<uint8_t> DeviceBytes::Download() const {
  Check(cudaDeviceSynchronize(), "kernel");
  std::vector<uint8_t> all(bytes_ + 2 * kGuard);
  Check(cudaMemcpy(all.data(), base_, all.size(), cudaMemcpyDeviceToHost), "download");
  const auto untouched = [](uint8_t byte) { return byte == 0xff; };
  EXPECT_TRUE(std::all_of(all.begin(), all.begin() + kGuard, untouched))
      << "written in front of an array";
  EXPECT_TRUE(std::all_of(all.end() - kGuard, all.end(), untouched)) << "written behind an array";
  return {all.begin() + kGuard, all.end() - kGuard};
}

namespace {

float FromBits(ElementType type, const uint8_t* bits) {
  float value = 0;
  if (type == ElementType::kFloat32) {
    std::memcpy(&value, bits, sizeof(value));
  } else if (type == ElementType::kFloat16) {
    __half half;
    std::memcpy(static_cast<void*>(&half), bits, sizeof(half));
    value = __half2float(half);
  } else {
    __nv_bfloat16 half;
    std::memcpy(static_cast<void*>(&half), bits, sizeof(half));
    value = __bfloat162float(half);
  }
  return value;
}

std::vector<uint8_t> ToBits(ElementType type, const std::vector<float>& values) {
  const size_t size = ElementBytes(type);
  std::vector<uint8_t> bits(values.size() * size);
  for (size_t i = 0; i < values.size(); ++i) {
    if (type == ElementType::kFloat32) {
      std::memcpy(&bits[i * size], &values[i], size);
    } else if (type == ElementType::kFloat16) {
      const __half half = __float2half_rn(values[i]);
      std::memcpy(&bits[i * size], &half, size);
    } else {
      const __nv_bfloat16 half = __float2bfloat16_rn(values[i]);
      std::memcpy(&bits[i * size], &half, size);
    }
  }
  return bits;
}

std::vector<float> FromBits(ElementType type, const std::vector<uint8_t>& bits) {
  const size_t size = ElementBytes(type);
  std::vector<float> values(bits.size() / size);
  for (size_t i = 0; i < values.size(); ++i) values[i] = FromBits(type, &bits[i * size]);
  return values;
}

}  // namespace

ElementArray::ElementArray(ElementType type, const std::vector<float>& values)
    : ElementArray(type, values.size()) {
  bytes_.Upload(ToBits(type, values).data());
}

std::vector<float> ElementArray::Download() const { return FromBits(type_, bytes_.Download()); }

std::vector<float> Rounded(ElementType type, const std::vector<float>& values) {
  return FromBits(type, ToBits(type, values));
}

std::vector<float> RandomValues(ElementType type, size_t size, unsigned seed, float scale) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(size);
  for (float& value : values) value = normal(random);
  return Rounded(type, values);
}

testing::AssertionResult AllNear(const std::vector<float>& values,
                                 const std::vector<double>& expected, double tolerance) {
  if (values.size() != expected.size()) {
    return testing::AssertionFailure() << values.size() << " values, not " << expected.size();
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const double off = std::abs(values[i] - expected[i]);
    const bool near = std::isnan(expected[i])
                          ? std::isnan(values[i])
                          : off <= tolerance * std::max(1.0, std::abs(expected[i]));
    if (!near) {
      return testing::AssertionFailure() << "value " << i << " of " << values.size() << " is "
                                         << values[i] << ", expected " << expected[i];
    }
  }
  return testing::AssertionSuccess();
}

double Tolerance(ElementType type) {
  switch (type) {
    case ElementType::kFloat32:
      return 2e-5;
    case ElementType::kFloat16:
      return 2e-3;
    case ElementType::kBFloat16:
      return 1.6e-2;
  }
  return 0;
}

std::vector<Segment> Segments(const std::vector<SegmentCounts>& images) {
  std::vector<Segment> segments;
  int offset = 0;
  for (const SegmentCounts& image : images) {
    segments.push_back({.offset = offset, .tokens = image.tokens, .merges = image.merges});
    offset += image.tokens;
  }
  return segments;
}

std::vector<Segment> SegmentsAfter(const std::vector<SegmentCounts>& images) {
  std::vector<SegmentCounts> after;
  for (const SegmentCounts& image : images) after.push_back({image.tokens - image.merges, 0});
  return Segments(after);
}

int TotalTokens(const std::vector<Segment>& segments) {
  return segments.empty() ? 0 : segments.back().offset + segments.back().tokens;
}

std::vector<double> ReferenceLayerNorm(const std::vector<double>& x,
                                       const std::vector<float>& weight,
                                       const std::vector<float>& bias, double epsilon) {
  const size_t width = weight.size();
  std::vector<double> out(x.size());
  for (size_t row = 0; row < x.size() / width; ++row) {
    double mean = 0;
    for (size_t i = 0; i < width; ++i) mean += x[row * width + i] / width;
    double variance = 0;
    for (size_t i = 0; i < width; ++i) {
      variance += (x[row * width + i] - mean) * (x[row * width + i] - mean) / width;
    }
    for (size_t i = 0; i < width; ++i) {
      out[row * width + i] =
          (x[row * width + i] - mean) / std::sqrt(variance + epsilon) * weight[i] + bias[i];
    }
  }
  return out;
}

std::vector<double> ToDouble(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

void KernelTest::SetUp() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    GTEST_SKIP() << "no CUDA device on this machine";
  }
}

std::string ElementTypeName(const testing::TestParamInfo<ElementType>& type) {
  switch (type.param) {
    case ElementType::kFloat32:
      return "Float32";
    case ElementType::kFloat16:
      return "Float16";
    case ElementType::kBFloat16:
      return "BFloat16";
  }
  return "";
}

}  // namespace tome::kernels
