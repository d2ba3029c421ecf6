#ifndef TOME_TESTS_BENCH_DEVICE_RATES_H_
#define TOME_TESTS_BENCH_DEVICE_RATES_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <vector>

// What a GPU can do at best, measured: the bounds that kernels are held against.
namespace tome::kernels {

// Ends the program on an error.
void Check(cudaError_t error, const char* what);

// Device memory for the whole run, filled with normal bfloat16 values.
class Memory {
 public:
  Memory();

  // One buffer of `bytes` a set.
  std::vector<char*> Buffers(int sets, int64_t bytes);
  template <typename T>
  T* Upload(const std::vector<T>& values) {
    const auto bytes = static_cast<int64_t>(values.size() * sizeof(T));
    char* to = Buffers(1, bytes)[0];
    Check(cudaMemcpy(to, values.data(), bytes, cudaMemcpyHostToDevice), "upload");
    return reinterpret_cast<T*>(to);
  }
  void Free();

 private:
  static constexpr int64_t kValues = int64_t{1} << 23;
  void* values_ = nullptr;
  std::vector<void*> taken_;
};

// Median time of one call in microseconds; `launch` gets the number of the set to use.
double Time(int sets, const std::function<void(int)>& launch);

// Bytes a microsecond, read and written.
double MeasureBandwidth(Memory& memory);

// Floating-point operations a microsecond of a bfloat16 product [rows, inputs] x [inputs, outputs].
double MeasureProduct(Memory& memory, int rows, int inputs, int outputs);

}  // namespace tome::kernels

#endif  // TOME_TESTS_BENCH_DEVICE_RATES_H_
