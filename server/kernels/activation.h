#ifndef TOME_SERVER_KERNELS_ACTIVATION_H_
#define TOME_SERVER_KERNELS_ACTIVATION_H_

#include <cuda_runtime_api.h>

#include "server/kernels/element_type.h"

namespace tome::kernels {

enum class ActivationKind {
  kGelu,       // x Phi(x), by erf
  kGeluTanh,   // its approximation by tanh
  kQuickGelu,  // x sigmoid(1.702 x)
  kSwiGlu,     // silu(a) b of a row [a, b]
};

// An MLP's activation, float32 inside, rounded once.
struct ActivationArgs {
  ElementType type = ElementType::kFloat32;
  ActivationKind kind = ActivationKind::kGelu;
  const void* in = nullptr;  // T [rows, width]; for SwiGLU [rows, 2 * width]
  void* out = nullptr;       // T [rows, width]; may be `in`, except for SwiGLU
  int rows = 0;
  int width = 0;
};

// REQUIRES: width a multiple of 8. Otherwise cudaErrorInvalidValue.
cudaError_t Activation(const ActivationArgs& args, cudaStream_t stream);

}  // namespace tome::kernels

#endif  // TOME_SERVER_KERNELS_ACTIVATION_H_
