#ifndef TOME_TESTS_CUDA_SHIM_CUDA_RUNTIME_H_
#define TOME_TESTS_CUDA_SHIM_CUDA_RUNTIME_H_

// What a .cu file needs beside the runtime's functions, so that a C++ compiler takes it for the
// host: qualifiers, built-in functions, threadIdx and blockIdx (not blockDim and gridDim: they are
// words of the launch, too), and the launch. Collective functions take full warps alone.

#include <cuda_runtime_api.h>
#include <cuda_shim.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)

#define threadIdx (::cuda_shim::CurrentPosition().thread)
#define blockIdx (::cuda_shim::CurrentPosition().block)

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned int x, y;
};
struct alignas(16) uint4 {
  unsigned int x, y, z, w;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned int x, unsigned int y) { return {x, y}; }
inline uint4 make_uint4(unsigned int x, unsigned int y, unsigned int z, unsigned int w) {
  return {x, y, z, w};
}

inline void __syncthreads() { cuda_shim::BlockBarrier(); }
inline void __syncwarp(unsigned int mask = 0xffffffffu) {
  if (mask != 0xffffffffu) cuda_shim::Fail("__syncwarp of a part of a warp");
  cuda_shim::WarpBarrier();
}

template <typename T>
T __shfl_sync(unsigned int mask, T value, int lane) {
  static_assert(sizeof(T) == 4);
  if (mask != 0xffffffffu) cuda_shim::Fail("a shuffle of a part of a warp");
  const unsigned int word = std::bit_cast<unsigned int>(value);
  return std::bit_cast<T>(cuda_shim::WarpExchange(&word, 1)[lane & 31]);
}
template <typename T>
T __shfl_xor_sync(unsigned int mask, T value, int lanes) {
  return __shfl_sync(mask, value, static_cast<int>(threadIdx.x & 31) ^ lanes);
}
inline unsigned int __ballot_sync(unsigned int mask, int predicate) {
  if (mask != 0xffffffffu) cuda_shim::Fail("a vote of a part of a warp");
  const unsigned int word = predicate != 0;
  const unsigned int* words = cuda_shim::WarpExchange(&word, 1);
  unsigned int votes = 0;
  for (int lane = 0; lane < 32; ++lane) votes |= words[lane] << lane;
  return votes;
}

inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float x, float y) { return x / y; }

struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

namespace cuda_shim {
cudaError_t AllowSharedMemory(const void* kernel, size_t bytes);
}  // namespace cuda_shim

template <typename Function>
cudaError_t cudaFuncSetAttribute(Function* kernel, cudaFuncAttribute, int value) {
  return cuda_shim::AllowSharedMemory(reinterpret_cast<const void*>(kernel), value);
}

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  std::function<void()> thread = [kernel, ... values = Parameters(arguments)] {
    kernel(values...);
  };
  return cuda_shim::Enqueue(config->stream, [=, config = *config] {
    return cuda_shim::LaunchGrid(reinterpret_cast<const void*>(kernel), config.gridDim,
                                 config.blockDim, config.dynamicSmemBytes, thread);
  });
}

#endif  // TOME_TESTS_CUDA_SHIM_CUDA_RUNTIME_H_
