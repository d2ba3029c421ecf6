#ifndef TOME_SERVER_KERNELS_CPU_ACTIVATION_H_
#define TOME_SERVER_KERNELS_CPU_ACTIVATION_H_

#include "server/kernels/cpu/parallel_for.h"
#include "server/kernels/element_type.h"

namespace tome::kernels::cpu {

// The activations of an MLP that oneDNN does not compute within a linear layer.
enum class Activation {
  kQuickGelu,  // x sigmoid(1.702 x)
  kSwiGlu,     // silu(a) b of a row [a, b]
};

// Float32 inside, rounded once.
struct ActivationArgs {
  ElementType type = ElementType::kFloat32;  // T: float32 or bfloat16
  Activation activation = Activation::kQuickGelu;
  const void* in = nullptr;  // T [rows, width]; for SwiGLU [rows, 2 * width]
  void* out = nullptr;       // T [rows, width]; may be `in`, except for SwiGLU
  int rows = 0;
  int width = 0;
};

void Activate(const ActivationArgs& args, const Compute& compute);

}  // namespace tome::kernels::cpu

#endif  // TOME_SERVER_KERNELS_CPU_ACTIVATION_H_
