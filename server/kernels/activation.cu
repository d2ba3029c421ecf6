#include "server/kernels/activation.h"
#include "server/kernels/element.cuh"
#include "server/kernels/launch.cuh"

namespace tome::kernels {
namespace {

constexpr int kThreads = 256;

template <ActivationKind kKind>
__device__ __forceinline__ float Activate(float x) {
  if constexpr (kKind == ActivationKind::kGelu) {
    return 0.5f * x * (1.0f + erff(x * 0.70710678f));
  } else if constexpr (kKind == ActivationKind::kGeluTanh) {
    // 0.5 (1 + tanh u) = 1 / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3)
    return __fdividef(x, 1.0f + __expf(-1.5957691f * (x + 0.044715f * x * x * x)));
  } else if constexpr (kKind == ActivationKind::kQuickGelu) {
    return __fdividef(x, 1.0f + __expf(-1.702f * x));
  } else {
    return __fdividef(x, 1.0f + __expf(-x));
  }
}

// A thread eight elements; grid: all elements of `out`.
template <typename T, ActivationKind kKind>
__global__ void __launch_bounds__(kThreads)
    ActivationKernel(const T* in, T* out, int64_t accesses, int width) {
  const int64_t access = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (access >= accesses) return;
  const int64_t element = access * kElementsPerAccess;
  float values[8];
  if constexpr (kKind == ActivationKind::kSwiGlu) {
    const int64_t row = element / width;
    const T* gate = in + element + row * width;  // rows of `in` are twice as long
    float factors[8];
    Load8(gate, values);
    Load8(gate + width, factors);
#pragma unroll
    for (int i = 0; i < 8; ++i) values[i] = Activate<kKind>(values[i]) * factors[i];
  } else {
    Load8(in + element, values);
#pragma unroll
    for (float& value : values) value = Activate<kKind>(value);
  }
  Store8(out + element, values);
}

}  // namespace

cudaError_t Activation(const ActivationArgs& args, cudaStream_t stream) {
  if (args.width <= 0 || args.width % kElementsPerAccess != 0 || args.rows < 0) {
    return cudaErrorInvalidValue;
  }
  const int64_t accesses = static_cast<int64_t>(args.rows) * args.width / kElementsPerAccess;
  const LaunchShape shape = {
      .grid = dim3(static_cast<unsigned int>((accesses + kThreads - 1) / kThreads)),
      .threads = kThreads};
  return ForElementType(args.type, [&]<typename T>(std::type_identity<T>) {
    const auto launch = [&](auto* kernel) {
      return Launch(kernel, shape, stream, static_cast<const T*>(args.in),
                    static_cast<T*>(args.out), accesses, args.width);
    };
    switch (args.kind) {
      case ActivationKind::kGelu:
        return launch(ActivationKernel<T, ActivationKind::kGelu>);
      case ActivationKind::kGeluTanh:
        return launch(ActivationKernel<T, ActivationKind::kGeluTanh>);
      case ActivationKind::kQuickGelu:
        return launch(ActivationKernel<T, ActivationKind::kQuickGelu>);
      case ActivationKind::kSwiGlu:
        return launch(ActivationKernel<T, ActivationKind::kSwiGlu>);
    }
    return cudaErrorInvalidValue;
  });
}

}  // namespace tome::kernels
