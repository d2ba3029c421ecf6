#ifndef TOME_SERVER_MODEL_LINEAR_H_
#define TOME_SERVER_MODEL_LINEAR_H_

#include <ATen/core/Tensor.h>

#include "server/ops/packed_linear.h"
#include "server/ops/torch_threads.h"

namespace tome {

// Whether this processor multiplies bfloat16 matrices: what oneDNN asks for. Without it Linear
// multiplies the same numbers as float32, which is slower than a float32 model.
bool HasBFloat16();

// Whether it has instructions for that, so that bfloat16 is faster than float32.
bool HasFastBFloat16();

// Whether layers are multiplied by oneDNN: with AVX-512, where a row of a product has the same bits
// whatever the number of rows above one. oneDNN's kernel for AVX2 sums a row in an order that
// depends on the others, so that the project's own kernel takes its place.
bool MultipliesByOneDnn();

// What is applied to each output while it is still float32.
enum class Fused { kNone, kGelu, kGeluTanh };

// y = fused(x W^T + b), with W packed once. A row of y has the same bits however many rows come
// with it; at::linear does not keep that in float32 for fewer than 8 rows. Immutable, thread-safe.
// Carries no gradients unless made by WithGradients.
class Linear {
 public:
  Linear() = default;
  // weight [outputs, inputs] and bias [outputs], of one type: float32 or bfloat16.
  Linear(const at::Tensor& weight, const at::Tensor& bias);
  // The same layer by at::linear: for training, on the device of its tensors. How many rows come
  // along may change a row's last bits.
  static Linear WithGradients(at::Tensor weight, at::Tensor bias);

  // x [rows, inputs], contiguous, of the weight's type -> [rows, outputs], on all of Torch's
  // threads. REQUIRES: rows > 0.
  at::Tensor operator()(const at::Tensor& x, Fused fused = Fused::kNone) const;

  // The same of the padded rows of one RowTile, by one of Torch's threads for itself.
  // REQUIRES: not of WithGradients.
  at::Tensor OfTile(const at::Tensor& x, Fused fused = Fused::kNone) const;
  // The first rows of it go to `out` [rows, outputs].
  void OfTile(const at::Tensor& x, const at::Tensor& out) const;

 private:
  at::Tensor MultiplyOneDnn(const at::Tensor& x, Fused fused) const;
  at::Tensor MultiplyOwn(const at::Tensor& x, Fused fused, const ops::ParallelFor& threads) const;

  at::Tensor plain_weight_;  // of WithGradients
  // oneDNN's or the project's own, as MultipliesByOneDnn() has it.
  at::Tensor packed_weight_;
  at::Tensor bias_;
  ops::PackedLinear own_;
};

}  // namespace tome

#endif  // TOME_SERVER_MODEL_LINEAR_H_
