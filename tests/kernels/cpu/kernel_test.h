#ifndef TOME_TESTS_KERNELS_CPU_KERNEL_TEST_H_
#define TOME_TESTS_KERNELS_CPU_KERNEL_TEST_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "server/kernels/cpu/parallel_for.h"
#include "server/kernels/element_type.h"
#include "server/merge/merge_plan.h"

namespace tome::kernels::cpu {

// Threads of its own for each call.
class Threads final : public ParallelFor {
 public:
  explicit Threads(int workers) : workers_(workers) {}
  int workers() const override { return workers_; }

 private:
  void Run(int tasks, Function function, const void* body) const override;

  const int workers_;
};

// Numbers as a kernel's memory holds them: float32 or bfloat16.
class Elements {
 public:
  Elements(ElementType type, const std::vector<float>& values);
  // `count` of them, none a number.
  Elements(ElementType type, size_t count);

  void* data() { return bytes_.data(); }
  const void* at(size_t index) const { return bytes_.data() + index * ElementBytes(type_); }
  size_t size() const { return bytes_.size() / ElementBytes(type_); }
  float operator[](size_t index) const;
  std::vector<float> values() const;
  friend bool operator==(const Elements&, const Elements&) = default;

 private:
  ElementType type_;
  std::vector<std::byte> bytes_;
};

// Memory on 64 bytes, exactly as large as asked.
class Scratch {
 public:
  explicit Scratch(size_t bytes);
  void* data() const { return memory_.get(); }

 private:
  struct Free {
    void operator()(void* memory) const;
  };
  std::unique_ptr<void, Free> memory_;
};

// In [-1, 1).
std::vector<float> RandomValues(size_t count, uint32_t seed);

// One image behind the other, one a (tokens, merges).
std::vector<Segment> Segments(const std::vector<std::pair<int, int>>& tokens_and_merges);
// As a block leaves them.
std::vector<Segment> SegmentsAfter(const std::vector<Segment>& before);

// In float64.
std::vector<double> ReferenceNorm(const std::vector<double>& row, const std::vector<float>& weight,
                                  const std::vector<float>& bias, double epsilon);

// What a value close to 1 may be off by: a few roundings in T.
inline double Tolerance(ElementType type) { return type == ElementType::kFloat32 ? 1e-5 : 1e-2; }

// A suite over every instruction set that this processor has, and over both types.
class KernelTest : public testing::TestWithParam<std::tuple<InstructionSet, ElementType>> {
 protected:
  static ElementType type() { return std::get<1>(GetParam()); }
  // On the calling thread.
  const Compute& serial() const { return serial_; }
  const Compute& threaded() const { return threaded_; }

 private:
  const Serial one_{};
  const Threads three_{3};
  const Compute serial_{one_, std::get<0>(GetParam())};
  const Compute threaded_{three_, std::get<0>(GetParam())};
};

std::string KernelTestName(const testing::TestParamInfo<KernelTest::ParamType>& info);

// NOLINTNEXTLINE(cppcoreguidelines-macro-usage): GoogleTest's own names have to stand in the file.
#define TOME_INSTANTIATE_KERNEL_TEST(Suite)                                                        \
  INSTANTIATE_TEST_SUITE_P(                                                                        \
      Cpu, Suite,                                                                                  \
      testing::Combine(                                                                            \
          testing::ValuesIn(SupportedInstructionSets().begin(), SupportedInstructionSets().end()), \
          testing::Values(ElementType::kFloat32, ElementType::kBFloat16)),                         \
      KernelTestName)

}  // namespace tome::kernels::cpu

#endif  // TOME_TESTS_KERNELS_CPU_KERNEL_TEST_H_
