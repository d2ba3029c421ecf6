#ifndef TOME_TESTS_KERNELS_DEVICE_H_
#define TOME_TESTS_KERNELS_DEVICE_H_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "server/kernels/element_type.h"
#include "server/merge/merge_plan.h"

// What the kernels' suite needs of a device, be it a GPU or the host shim: arrays between guard
// bands, conversion to and from the element types, and reference values in double.
namespace tome::kernels {

// Stops the program on an error: what follows would only repeat it.
void Check(cudaError_t error, const char* what);

// Device memory between guard bands, on 16 bytes and no more. It starts as NaN (or minus one), so
// that what a kernel leaves out shows.
class DeviceBytes {
 public:
  explicit DeviceBytes(size_t bytes);
  ~DeviceBytes();
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;

  void* data() const { return base_ + kGuard; }
  void Upload(const void* from);
  // Waits for the device. Fails the test if anything beside the array was written.
  std::vector<uint8_t> Download() const;

 private:
  static constexpr size_t kGuard = 4096 + 16;
  uint8_t* base_ = nullptr;
  size_t bytes_;
};

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t size) : bytes_(size * sizeof(T)) {}
  explicit DeviceArray(const std::vector<T>& values) : bytes_(values.size() * sizeof(T)) {
    bytes_.Upload(values.data());
  }

  T* data() const { return static_cast<T*>(bytes_.data()); }
  std::vector<T> Download() const {
    const std::vector<uint8_t> bytes = bytes_.Download();
    std::vector<T> values(bytes.size() / sizeof(T));
    if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }

 private:
  DeviceBytes bytes_;
};

// An array of elements of the compute type.
class ElementArray {
 public:
  ElementArray(ElementType type, size_t size) : type_(type), bytes_(size * ElementBytes(type)) {}
  ElementArray(ElementType type, const std::vector<float>& values);

  void* data() const { return bytes_.data(); }
  std::vector<float> Download() const;
  std::vector<uint8_t> DownloadBits() const { return bytes_.Download(); }

 private:
  ElementType type_;
  DeviceBytes bytes_;
};

// What storing as `type` makes of the values.
std::vector<float> Rounded(ElementType type, const std::vector<float>& values);

// Normal values, rounded to `type`.
std::vector<float> RandomValues(ElementType type, size_t size, unsigned seed, float scale = 1);

// Each value is expected to lie within `tolerance` of max(1, |expected|); the first that does not
// is reported. NaN is near NaN alone.
testing::AssertionResult AllNear(const std::vector<float>& values,
                                 const std::vector<double>& expected, double tolerance);

// The unit in which results of `type` are off: float32 sums in another order, or one rounding to T.
double Tolerance(ElementType type);

// Segments one behind the other.
struct SegmentCounts {
  int tokens = 0;
  int merges = 0;
};
std::vector<Segment> Segments(const std::vector<SegmentCounts>& images);
std::vector<Segment> SegmentsAfter(const std::vector<SegmentCounts>& images);
int TotalTokens(const std::vector<Segment>& segments);

// Layer norm in double, over each row.
std::vector<double> ReferenceLayerNorm(const std::vector<double>& x,
                                       const std::vector<float>& weight,
                                       const std::vector<float>& bias, double epsilon);

std::vector<double> ToDouble(const std::vector<float>& values);

// A test of one kernel, skipped where there is no device. On a GPU the cases say so in their label.
class KernelTest : public testing::Test {
 protected:
  void SetUp() override;
};

// .. for each element type.
class TypedKernelTest : public KernelTest, public testing::WithParamInterface<ElementType> {
 protected:
  ElementType type() const { return GetParam(); }
};
std::string ElementTypeName(const testing::TestParamInfo<ElementType>& type);

#define TOME_FOR_EACH_ELEMENT_TYPE(Suite)                                                    \
  INSTANTIATE_TEST_SUITE_P(                                                                  \
      ElementTypes, Suite,                                                                   \
      testing::Values(ElementType::kFloat32, ElementType::kFloat16, ElementType::kBFloat16), \
      ElementTypeName)

}  // namespace tome::kernels

#endif  // TOME_TESTS_KERNELS_DEVICE_H_
