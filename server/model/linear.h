#ifndef TOME_SERVER_MODEL_LINEAR_H_
#define TOME_SERVER_MODEL_LINEAR_H_

#include <ATen/core/Tensor.h>

namespace tome {

// Whether this processor multiplies bfloat16 matrices: what oneDNN asks for. Without it Linear
// multiplies the same numbers as float32, which is slower than a float32 model.
bool HasBFloat16();

// Products of multiples of this many rows sum a row alike. With AVX-512 any number above one does.
// oneDNN's kernels for AVX2 have another order for blocks of one to three rows, which these numbers
// do not leave; on more than two threads they also divide sums by the number of rows, so that there
// all products must have exactly this many.
int LinearRowStep(int threads);

// What is applied to each output while it is still float32.
enum class Fused { kNone, kGelu, kGeluTanh };

// y = fused(x W^T + b), with W packed once for oneDNN. A row of y has the same bits however many
// rows come with it; at::linear does not keep that in float32 for fewer than 8 rows. Fastest for
// multiples of LinearRowStep: other numbers of rows may have to be padded. Immutable; one call at a
// time uses all of Torch's threads. Does not carry gradients.
class Linear {
 public:
  Linear() = default;
  // weight [outputs, inputs] and bias [outputs], of one type: float32 or bfloat16.
  Linear(const at::Tensor& weight, at::Tensor bias);

  // x [rows, inputs], contiguous, of the weight's type -> [rows, outputs]. REQUIRES: rows > 0.
  at::Tensor operator()(const at::Tensor& x, Fused fused = Fused::kNone) const;

 private:
  at::Tensor Multiply(const at::Tensor& x, Fused fused) const;

  at::Tensor packed_weight_;
  at::Tensor bias_;
  // bfloat16 in and out where oneDNN has it only as float32.
  bool widened_ = false;
};

}  // namespace tome

#endif  // TOME_SERVER_MODEL_LINEAR_H_
