#include "server/model/linear.h"

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <c10/core/InferenceMode.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

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

at::Tensor LinearPointwise(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias) {
  using Scalars = c10::List<std::optional<at::Scalar>>;
  using Signature =
      at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                 std::string_view, Scalars, std::optional<std::string_view>);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
                             .typed<Signature>();
  return op.call(x, packed, bias, "none", Scalars(), "");
}

bool HasAvx512() {
  return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq");
}

}  // namespace

bool HasBFloat16() { return HasAvx512(); }

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

at::Tensor Linear::operator()(const at::Tensor& x) const {
  if (plain_weight_.defined()) return at::linear(x, plain_weight_, bias_);
  // The sum is float32 either way and is rounded once.
  return widened_ ? Multiply(x.to(kFloat)).to(x.scalar_type()) : Multiply(x);
}

at::Tensor Linear::Multiply(const at::Tensor& x) const {
  if (!HasAvx512()) return MultiplyInTiles(x);
  // oneDNN multiplies a single row by another kernel, with other rounding: a row of zeros keeps it
  // company.
  if (x.size(0) == 1) {
    return LinearPointwise(at::constant_pad_nd(x, {0, 0, 0, 1}), packed_weight_, bias_)
        .narrow(0, 0, 1);
  }
  return LinearPointwise(x, packed_weight_, bias_);
}

// Without AVX-512 oneDNN's kernel takes six rows at a time and what is left of them by other sums,
// and how it cuts the inner dimension depends on the number of rows, too. Tiles of one size, each
// on one thread, leave it no choice.
at::Tensor Linear::MultiplyInTiles(const at::Tensor& x) const {
  constexpr int64_t kTileRows = 48;
  const int64_t rows = x.size(0);
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  const at::Tensor padded = at::constant_pad_nd(x, {0, 0, 0, tiles * kTileRows - rows});
  const at::Tensor result = at::empty({padded.size(0), bias_.size(0)}, x.options());
  at::parallel_for(0, tiles, 1, [&](int64_t begin, int64_t end) {
    const c10::InferenceMode inference;
    for (int64_t row = begin * kTileRows; row < end * kTileRows; row += kTileRows) {
      result.narrow(0, row, kTileRows)
          .copy_(LinearPointwise(padded.narrow(0, row, kTileRows), packed_weight_, bias_));
    }
  });
  return result.narrow(0, 0, rows);
}

}  // namespace tome
