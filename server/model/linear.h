#ifndef TOME_SERVER_MODEL_LINEAR_H_
#define TOME_SERVER_MODEL_LINEAR_H_

#include <ATen/core/Tensor.h>

namespace tome {

// y = x W^T + b, with W packed once for oneDNN. A row of y has the same bits however many rows come
// with it; at::linear does not keep that in float32 for fewer than 8 rows. Immutable; one call at a
// time uses all of Torch's threads. Does not carry gradients.
class Linear {
 public:
  Linear() = default;
  // weight [outputs, inputs] and bias [outputs], of one type.
  Linear(const at::Tensor& weight, at::Tensor bias);

  // x [rows, inputs], contiguous, of the weight's type -> [rows, outputs]. REQUIRES: rows > 0.
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  at::Tensor packed_weight_;
  at::Tensor bias_;
};

}  // namespace tome

#endif  // TOME_SERVER_MODEL_LINEAR_H_
