#include "server/model/linear.h"

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/constant_pad_nd.h>

#include <algorithm>
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

}  // namespace

bool HasBFloat16() {
  return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq");
}

int LinearRowStep(int threads) {
  if (HasBFloat16()) return 8;
  return threads <= 2 ? 12 : 240;
}

Linear::Linear(const at::Tensor& weight, at::Tensor bias)
    : widened_(weight.scalar_type() == c10::ScalarType::BFloat16 && !HasBFloat16()) {
  packed_weight_ = Pack(widened_ ? weight.to(kFloat) : weight);
  bias_ = widened_ ? bias.to(kFloat) : std::move(bias);
}

at::Tensor Linear::operator()(const at::Tensor& x, Fused fused) const {
  // The sum is float32 either way and is rounded once.
  return widened_ ? Multiply(x.to(kFloat), fused).to(x.scalar_type()) : Multiply(x, fused);
}

at::Tensor Linear::Multiply(const at::Tensor& x, Fused fused) const {
  const int64_t rows = x.size(0);
  // Rows of zeros keep a single row company, or fill the last block.
  const int64_t step = LinearRowStep(at::get_num_threads());
  const int64_t padded =
      HasBFloat16() ? std::max<int64_t>(rows, 2) : (rows + step - 1) / step * step;
  if (padded == rows) return LinearPointwise(x, packed_weight_, bias_, fused);
  return LinearPointwise(at::constant_pad_nd(x, {0, 0, 0, padded - rows}), packed_weight_, bias_,
                         fused)
      .narrow(0, 0, rows);
}

}  // namespace tome
