#ifndef TOME_SERVER_KERNELS_ELEMENT_CUH_
#define TOME_SERVER_KERNELS_ELEMENT_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

// Elements of the compute type in registers: float32 while they are worked on, 16 bytes at a time
// between registers and memory.
namespace tome::kernels {

inline constexpr int kWarp = 32;
inline constexpr unsigned int kAllLanes = 0xffffffffu;

template <typename T>
__device__ __forceinline__ T FromFloat(float value) {
  if constexpr (std::is_same_v<T, __half>) {
    return __float2half_rn(value);
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __float2bfloat16_rn(value);
  } else {
    return value;
  }
}

// Two elements of a half type in one register, the first in the lower half: as mma reads them.
template <typename T>
__device__ __forceinline__ uint32_t Pack(float first, float second) {
  if constexpr (std::is_same_v<T, __half>) {
    const __half2 pair = __floats2half2_rn(first, second);
    return reinterpret_cast<const uint32_t&>(pair);
  } else {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
    return reinterpret_cast<const uint32_t&>(pair);
  }
}
template <typename T>
__device__ __forceinline__ void Unpack(uint32_t pair, float& first, float& second) {
  if constexpr (std::is_same_v<T, __half>) {
    const __half2 both = reinterpret_cast<const __half2&>(pair);
    first = __half2float(both.x);
    second = __half2float(both.y);
  } else {
    const __nv_bfloat162 both = reinterpret_cast<const __nv_bfloat162&>(pair);
    first = __bfloat162float(both.x);
    second = __bfloat162float(both.y);
  }
}

// Eight elements from or to 16-byte aligned memory.
template <typename T>
__device__ __forceinline__ void Load8(const T* from, float (&values)[8]) {
  if constexpr (std::is_same_v<T, float>) {
    const float4 low = reinterpret_cast<const float4*>(from)[0];
    const float4 high = reinterpret_cast<const float4*>(from)[1];
    values[0] = low.x;
    values[1] = low.y;
    values[2] = low.z;
    values[3] = low.w;
    values[4] = high.x;
    values[5] = high.y;
    values[6] = high.z;
    values[7] = high.w;
  } else {
    const uint4 pairs = *reinterpret_cast<const uint4*>(from);
    Unpack<T>(pairs.x, values[0], values[1]);
    Unpack<T>(pairs.y, values[2], values[3]);
    Unpack<T>(pairs.z, values[4], values[5]);
    Unpack<T>(pairs.w, values[6], values[7]);
  }
}
// Two elements from memory aligned to both.
template <typename T>
__device__ __forceinline__ float2 Load2(const T* from) {
  if constexpr (std::is_same_v<T, float>) {
    return *reinterpret_cast<const float2*>(from);
  } else {
    float2 values;
    Unpack<T>(*reinterpret_cast<const uint32_t*>(from), values.x, values.y);
    return values;
  }
}
template <typename T>
__device__ __forceinline__ void Store8(T* to, const float (&values)[8]) {
  if constexpr (std::is_same_v<T, float>) {
    reinterpret_cast<float4*>(to)[0] = make_float4(values[0], values[1], values[2], values[3]);
    reinterpret_cast<float4*>(to)[1] = make_float4(values[4], values[5], values[6], values[7]);
  } else {
    *reinterpret_cast<uint4*>(to) =
        make_uint4(Pack<T>(values[0], values[1]), Pack<T>(values[2], values[3]),
                   Pack<T>(values[4], values[5]), Pack<T>(values[6], values[7]));
  }
}

// The sum over a warp, the same bits in every lane.
__device__ __forceinline__ float WarpSum(float value) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, lanes);
  }
  return value;
}

// The block's dynamic shared memory, on 16 bytes at least.
__device__ __forceinline__ unsigned char* SharedMemory() {
#if defined(__CUDACC__)
  extern __shared__ __align__(128) unsigned char shared[];
  return shared;
#else
  return cuda_shim::SharedMemory();
#endif
}

}  // namespace tome::kernels

#endif  // TOME_SERVER_KERNELS_ELEMENT_CUH_
