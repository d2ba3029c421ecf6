#ifndef TOME_SERVER_MODEL_LINEAR_H_
#define TOME_SERVER_MODEL_LINEAR_H_

#include <ATen/core/Tensor.h>

namespace tome {

// Whether this processor multiplies bfloat16 matrices: what oneDNN asks for. Without it Linear
// multiplies the same numbers as float32, which is slower than a float32 model.
bool HasBFloat16();

// y = x W^T + b, with W packed once for oneDNN. A row of y has the same bits however many rows come
// with it; at::linear does not keep that in float32 for fewer than 8 rows. Immutable; one call at a
// time uses all of Torch's threads. Carries no gradients unless made by WithGradients.
class Linear {
 public:
  Linear() = default;
  // weight [outputs, inputs] and bias [outputs], of one type: float32 or bfloat16.
  Linear(const at::Tensor& weight, at::Tensor bias);
  // The same layer by at::linear: for training, on the device of its tensors. How many rows come
  // along may change a row's last bits.
  static Linear WithGradients(at::Tensor weight, at::Tensor bias);

  // x [rows, inputs], contiguous, of the weight's type -> [rows, outputs]. REQUIRES: rows > 0.
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  at::Tensor Multiply(const at::Tensor& x) const;
  at::Tensor MultiplyInTiles(const at::Tensor& x) const;

  at::Tensor plain_weight_;  // of WithGradients
  at::Tensor packed_weight_;
  at::Tensor bias_;
  // bfloat16 in and out where oneDNN has it only as float32.
  bool widened_ = false;
};

}  // namespace tome

#endif  // TOME_SERVER_MODEL_LINEAR_H_
