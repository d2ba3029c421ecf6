#include "tests/kernels/cpu/kernel_test.h"

#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <random>
#include <thread>
#include <utility>

namespace tome::kernels::cpu {
namespace {

uint16_t ToBFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace

void Threads::Run(int tasks, Function function, const void* body) const {
  std::atomic<int> next = 0;
  std::vector<std::thread> threads;
  for (int worker = 0; worker < workers_; ++worker) {
    threads.emplace_back([&, worker] {
      for (int task = next++; task < tasks; task = next++) function(body, task, worker);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

Elements::Elements(ElementType type, const std::vector<float>& values)
    : type_(type), bytes_(values.size() * ElementBytes(type)) {
  for (size_t i = 0; i < values.size(); ++i) {
    std::byte* to = bytes_.data() + i * ElementBytes(type);
    if (type == ElementType::kFloat32) {
      std::memcpy(to, &values[i], 4);
    } else {
      const uint16_t bits = ToBFloat16(values[i]);
      std::memcpy(to, &bits, 2);
    }
  }
}

Elements::Elements(ElementType type, size_t count)
    : Elements(type, std::vector<float>(count, std::numeric_limits<float>::quiet_NaN())) {}

float Elements::operator[](size_t index) const {
  if (type_ == ElementType::kFloat32) {
    float value;
    std::memcpy(&value, at(index), 4);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, at(index), 2);
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

std::vector<float> Elements::values() const {
  std::vector<float> values;
  for (size_t i = 0; i < size(); ++i) values.push_back((*this)[i]);
  return values;
}

Scratch::Scratch(size_t bytes) : memory_(::operator new(bytes, std::align_val_t(64))) {}

void Scratch::Free::operator()(void* memory) const {
  ::operator delete(memory, std::align_val_t(64));
}

std::vector<float> RandomValues(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values;
  for (size_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(random() >> 8) / static_cast<float>(1 << 23) - 1.0f);
  }
  return values;
}

std::vector<Segment> Segments(const std::vector<std::pair<int, int>>& tokens_and_merges) {
  std::vector<Segment> segments;
  int offset = 0;
  for (const auto& [tokens, merges] : tokens_and_merges) {
    segments.push_back({.offset = offset, .tokens = tokens, .merges = merges});
    offset += tokens;
  }
  return segments;
}

std::vector<Segment> SegmentsAfter(const std::vector<Segment>& before) {
  std::vector<std::pair<int, int>> after;
  for (const Segment& segment : before) after.emplace_back(segment.tokens - segment.merges, 0);
  return Segments(after);
}

std::vector<double> ReferenceNorm(const std::vector<double>& row, const std::vector<float>& weight,
                                  const std::vector<float>& bias, double epsilon) {
  double mean = 0;
  for (const double value : row) mean += value / static_cast<double>(row.size());
  double variance = 0;
  for (const double value : row) {
    variance += (value - mean) * (value - mean) / static_cast<double>(row.size());
  }
  std::vector<double> normed;
  for (size_t i = 0; i < row.size(); ++i) {
    normed.push_back((row[i] - mean) / std::sqrt(variance + epsilon) * weight[i] + bias[i]);
  }
  return normed;
}

std::string KernelTestName(const testing::TestParamInfo<KernelTest::ParamType>& info) {
  std::string name;
  for (const char* c = InstructionSetName(std::get<0>(info.param)); *c != '\0'; ++c) {
    if (std::isalnum(static_cast<unsigned char>(*c)) != 0) name += *c;
  }
  return name + (std::get<1>(info.param) == ElementType::kFloat32 ? "_float32" : "_bfloat16");
}

}  // namespace tome::kernels::cpu
