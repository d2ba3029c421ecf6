#ifndef TOME_SERVER_OPS_PACKED_LINEAR_H_
#define TOME_SERVER_OPS_PACKED_LINEAR_H_

#include <ATen/core/Tensor.h>

#include "server/kernels/cpu/linear.h"
#include "server/kernels/cpu/parallel_for.h"

namespace tome::ops {

using kernels::cpu::LinearActivation;

// A linear layer by the project's own kernel, float32, its weights packed once. Immutable,
// thread-safe. Throws c10::Error where shapes or types do not fit.
class PackedLinear {
 public:
  PackedLinear() = default;
  // weight [outputs, inputs] and bias [outputs], float32.
  PackedLinear(const at::Tensor& weight, const at::Tensor& bias);

  int64_t outputs() const { return outputs_; }

  // out = activation(x W^T + b). x [rows, inputs] and out [rows, outputs], float32, rows dense but
  // not necessarily next to each other.
  void operator()(const at::Tensor& x, LinearActivation activation, const at::Tensor& out,
                  const kernels::cpu::ParallelFor& threads) const;

 private:
  at::Tensor panels_;
  int64_t outputs_ = 0;
  int64_t inputs_ = 0;
};

}  // namespace tome::ops

#endif  // TOME_SERVER_OPS_PACKED_LINEAR_H_
