#ifndef TOME_SERVER_KERNELS_LAUNCH_CUH_
#define TOME_SERVER_KERNELS_LAUNCH_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <type_traits>

#include "server/kernels/element_type.h"

namespace tome::kernels {

struct LaunchShape {
  dim3 grid;
  int threads = 0;  // a block's, along x
  size_t shared_bytes = 0;
};

// The one way a kernel starts. An empty grid is no work, not an error.
template <typename... Parameters, typename... Arguments>
cudaError_t Launch(void (*kernel)(Parameters...), const LaunchShape& shape, cudaStream_t stream,
                   const Arguments&... arguments) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return cudaSuccess;
  constexpr size_t kUnasked = 48 * 1024;
  if (shape.shared_bytes > kUnasked) {
    const cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared_bytes));
    if (error != cudaSuccess) return error;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = shape.grid;
  config.blockDim = dim3(static_cast<unsigned int>(shape.threads));
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

// Calls `launch` with std::type_identity of the type that `type` names.
template <typename Function>
cudaError_t ForElementType(ElementType type, const Function& launch) {
  switch (type) {
    case ElementType::kFloat32:
      return launch(std::type_identity<float>());
    case ElementType::kFloat16:
      return launch(std::type_identity<__half>());
    case ElementType::kBFloat16:
      return launch(std::type_identity<__nv_bfloat16>());
  }
  return cudaErrorInvalidValue;
}

constexpr int CeilDiv(int a, int b) { return (a + b - 1) / b; }

}  // namespace tome::kernels

#endif  // TOME_SERVER_KERNELS_LAUNCH_CUH_
