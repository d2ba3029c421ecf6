#ifndef TOME_SERVER_KERNELS_CPU_LINEAR_H_
#define TOME_SERVER_KERNELS_CPU_LINEAR_H_

#include <cstddef>

#include "server/kernels/cpu/parallel_for.h"

namespace tome::kernels::cpu {

// What is applied to each output of a linear layer.
enum class LinearActivation {
  kNone,
  kGelu,      // x Phi(x), by the error function
  kGeluTanh,  // its approximation by tanh
};

// Floats that PackLinear writes, with any instruction set.
size_t LinearPanelFloats(int outputs, int inputs);

// weight [outputs, inputs] and bias [outputs], dense -> the panels that Linear reads with the same
// instruction set.
void PackLinear(const float* weight, const float* bias, int outputs, int inputs,
                InstructionSet instructions, float* panels);

// out = activation(x W^T + b), all float32. A row's bits depend on the row alone: each sum is made
// in one order whatever the rows around it.
struct LinearArgs {
  const float* x = nullptr;  // [rows, inputs], rows x_stride elements apart
  size_t x_stride = 0;
  const float* panels = nullptr;
  LinearActivation activation = LinearActivation::kNone;
  float* out = nullptr;  // [rows, outputs], rows out_stride elements apart; not x
  size_t out_stride = 0;
  int rows = 0;
  int inputs = 0;  // > 0
  int outputs = 0;
};

void Linear(const LinearArgs& args, const Compute& compute);

}  // namespace tome::kernels::cpu

#endif  // TOME_SERVER_KERNELS_CPU_LINEAR_H_
