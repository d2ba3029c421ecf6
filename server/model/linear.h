#ifndef TOME_SERVER_MODEL_LINEAR_H_
#define TOME_SERVER_MODEL_LINEAR_H_

#include <ATen/core/Tensor.h>

namespace tome {

// Whether this processor multiplies bfloat16 matrices: what oneDNN asks for. Without it Linear
// multiplies the same numbers as float32, which is slower than a float32 model.
bool HasBFloat16();

// Whether a row of a product has the same bits whatever the number of rows above one and of
// threads. With AVX-512 it has. oneDNN's kernel for AVX2 takes six rows at a time and sums what is
// left of them in another order, as it may cut more than 144 rows; on several threads it divides
// sums by the number of rows. So there a product wants multiples of kRowBlock rows, at most
// kMostRows, and one thread.
bool ProductsKeepRowBits();
inline constexpr int kRowBlock = 6;
inline constexpr int kMostRows = 144;

// What is applied to each output while it is still float32.
enum class Fused { kNone, kGelu, kGeluTanh };

// y = fused(x W^T + b), with W packed once for oneDNN. A row of y has the same bits however many
// rows come with it; at::linear does not keep that in float32 for fewer than 8 rows. Immutable,
// thread-safe. Carries no gradients unless
// made by WithGradients.
class Linear {
 public:
  Linear() = default;
  // weight [outputs, inputs] and bias [outputs], of one type: float32 or bfloat16.
  Linear(const at::Tensor& weight, at::Tensor bias);
  // The same layer by at::linear: for training, on the device of its tensors. How many rows come
  // along may change a row's last bits.
  static Linear WithGradients(at::Tensor weight, at::Tensor bias);

  // x [rows, inputs], contiguous, of the weight's type -> [rows, outputs], on all of Torch's
  // threads. REQUIRES: rows > 0.
  at::Tensor operator()(const at::Tensor& x, Fused fused = Fused::kNone) const;

  // The same bits without a copy, for rows as RowTiling cuts them, on the threads that it says.
  // REQUIRES: not of WithGradients.
  at::Tensor OfTile(const at::Tensor& x, Fused fused = Fused::kNone) const;

 private:
  at::Tensor MultiplyInTiles(const at::Tensor& x, Fused fused) const;

  at::Tensor plain_weight_;  // of WithGradients
  at::Tensor packed_weight_;
  at::Tensor bias_;
  // bfloat16 in and out where oneDNN has it only as float32.
  bool widened_ = false;
};

}  // namespace tome

#endif  // TOME_SERVER_MODEL_LINEAR_H_
