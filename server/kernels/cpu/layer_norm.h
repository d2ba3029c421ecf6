#ifndef TOME_SERVER_KERNELS_CPU_LAYER_NORM_H_
#define TOME_SERVER_KERNELS_CPU_LAYER_NORM_H_

#include "server/kernels/cpu/parallel_for.h"
#include "server/kernels/element_type.h"

namespace tome::kernels::cpu {

// A residual sum and the layer norm behind it, in one sweep over each row:
//   x[i]  += delta[i]                                                       unless delta is null
//   out[i] = (x[i] - mean) / sqrt(variance + epsilon) * weight + bias       unless out is null
// Sums and statistics are float32; x is rounded once, and the norm reads the rounded one.
struct LayerNormArgs {
  ElementType type = ElementType::kFloat32;      // T of x and delta: float32 or bfloat16
  ElementType out_type = ElementType::kFloat32;  // T, or float32
  void* x = nullptr;                             // T [rows, width]; only read if delta is null
  const void* delta = nullptr;                   // T [rows, width]
  void* out = nullptr;                           // [rows, width]; may be x if the types are one
  const float* weight = nullptr;                 // [width]
  const float* bias = nullptr;                   // [width]
  float epsilon = 0;
  int rows = 0;
  int width = 0;
};

void LayerNorm(const LayerNormArgs& args, const Compute& compute);

}  // namespace tome::kernels::cpu

#endif  // TOME_SERVER_KERNELS_CPU_LAYER_NORM_H_
