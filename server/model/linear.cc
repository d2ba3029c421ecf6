#include "server/model/linear.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "server/model/precision.h"

namespace tome {
namespace {

// The ops that torch.compile uses for packed weights. They have no C++ header: the dispatcher finds
// them by name.
at::Tensor Pack(const at::Tensor& weight) {
  using Signature = at::Tensor(const at::Tensor&, std::optional<int64_t>);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mkldnn::_reorder_linear_weight", "")
                             .typed<Signature>();
  return op.call(weight, std::nullopt);
}

at::Tensor LinearPointwise(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias,
                           Fused fused) {
  using Scalars = c10::List<std::optional<at::Scalar>>;
  using Signature =
      at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                 std::string_view, Scalars, std::optional<std::string_view>);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
                             .typed<Signature>();
  return op.call(x, packed, bias, fused == Fused::kNone ? "none" : "gelu", Scalars(),
                 fused == Fused::kGeluTanh ? "tanh" : "none");
}

bool HasAvx512() {
  return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq");
}

}  // namespace

bool HasBFloat16() { return HasAvx512(); }
bool ProductsKeepRowBits() { return HasAvx512(); }

Linear::Linear(const at::Tensor& weight, at::Tensor bias)
    : widened_(weight.scalar_type() == c10::ScalarType::BFloat16 && !HasBFloat16()) {
  packed_weight_ = Pack(widened_ ? weight.to(kFloat) : weight);
  bias_ = widened_ ? bias.to(kFloat) : std::move(bias);
}

Linear Linear::WithGradients(at::Tensor weight, at::Tensor bias) {
  Linear linear;
  linear.plain_weight_ = std::move(weight);
  linear.bias_ = std::move(bias);
  return linear;
}

at::Tensor Linear::operator()(const at::Tensor& x, Fused fused) const {
  if (plain_weight_.defined()) {
    const at::Tensor y = at::linear(x, plain_weight_, bias_);
    return fused == Fused::kNone ? y : at::gelu(y, fused == Fused::kGelu ? "none" : "tanh");
  }
  if (!ProductsKeepRowBits()) return MultiplyInTiles(x, fused);
  // oneDNN multiplies a single row by another kernel, with other rounding: a row of zeros keeps it
  // company.
  if (x.size(0) == 1) {
    return OfTile(at::constant_pad_nd(x, {0, 0, 0, 1}), fused).narrow(0, 0, 1);
  }
  return OfTile(x, fused);
}

at::Tensor Linear::MultiplyInTiles(const at::Tensor& x, Fused fused) const {
  // Of one size, and so small that oneDNN's threads divide outputs, not sums.
  constexpr int64_t kTileRows = 8 * kRowBlock;
  const int64_t rows = x.size(0);
  std::vector<at::Tensor> tiles;
  for (int64_t first = 0; first < rows; first += kTileRows) {
    const int64_t own = std::min(kTileRows, rows - first);
    const at::Tensor tile = x.narrow(0, first, own);
    tiles.push_back(own == kTileRows
                        ? OfTile(tile, fused)
                        : OfTile(at::constant_pad_nd(tile, {0, 0, 0, kTileRows - own}), fused)
                              .narrow(0, 0, own));
  }
  return tiles.size() == 1 ? tiles[0] : at::cat(tiles);
}

at::Tensor Linear::OfTile(const at::Tensor& x, Fused fused) const {
  // The sum is float32 either way and is rounded once.
  if (!widened_) return LinearPointwise(x, packed_weight_, bias_, fused);
  return LinearPointwise(x.to(kFloat), packed_weight_, bias_, fused).to(x.scalar_type());
}

}  // namespace tome
