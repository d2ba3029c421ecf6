#include "server/kernels/cpu/linear.h"

#include <algorithm>

#include "server/kernels/cpu/simd/kernels.h"

namespace tome::kernels::cpu {
namespace {

// Whole blocks of rows of any instruction set.
constexpr int kRowStep = 24;

}  // namespace

size_t LinearPanelFloats(int outputs, int inputs) {
  return RoundUp(outputs, kMaxLanes) * (static_cast<size_t>(inputs) + 1);
}

void PackLinear(const float* weight, const float* bias, int outputs, int inputs,
                InstructionSet instructions, float* panels) {
  const int lanes = KernelsOf(instructions).lanes;
  for (int first = 0; first < outputs; first += lanes) {
    const int own = std::min(lanes, outputs - first);
    for (int lane = 0; lane < lanes; ++lane) {
      const float* row = weight + static_cast<size_t>(first + lane) * inputs;
      panels[lane] = lane < own ? bias[first + lane] : 0.0f;
      for (int t = 0; t < inputs; ++t) {
        panels[static_cast<size_t>(t + 1) * lanes + lane] = lane < own ? row[t] : 0.0f;
      }
    }
    panels += static_cast<size_t>(inputs + 1) * lanes;
  }
}

void Linear(const LinearArgs& args, const Compute& compute) {
  const int workers = compute.parallel.workers();
  const int share = (args.rows + workers - 1) / workers;
  const int rows = (share + kRowStep - 1) / kRowStep * kRowStep;
  const SimdKernels& kernels = KernelsOf(compute.instructions);
  compute.parallel(args.rows == 0 ? 0 : (args.rows + rows - 1) / rows, [&](int task, int) {
    kernels.linear_rows(args, task * rows, std::min(args.rows, (task + 1) * rows));
  });
}

}  // namespace tome::kernels::cpu
