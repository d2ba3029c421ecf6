#include "server/model/linear.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>

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

bool HasAvx512() {
  return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq");
}

ops::LinearActivation ActivationOf(Fused fused) {
  switch (fused) {
    case Fused::kGelu:
      return ops::LinearActivation::kGelu;
    case Fused::kGeluTanh:
      return ops::LinearActivation::kGeluTanh;
    case Fused::kNone:
      break;
  }
  return ops::LinearActivation::kNone;
}

// bfloat16 in and out where only float32 can be multiplied: the sum is float32 either way and is
// rounded once.
at::Tensor Widened(const at::Tensor& x) { return x.to(kFloat); }

}  // namespace

bool HasBFloat16() { return HasAvx512(); }
bool HasFastBFloat16() { return HasAvx512() && __builtin_cpu_supports("avx512bf16"); }
bool MultipliesByOneDnn() { return HasAvx512(); }

Linear::Linear(const at::Tensor& weight, const at::Tensor& bias) {
  if (MultipliesByOneDnn()) {
    packed_weight_ = Pack(weight);
    bias_ = bias;
  } else {
    own_ = ops::PackedLinear(Widened(weight), Widened(bias));
  }
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
  if (!MultipliesByOneDnn()) return MultiplyOwn(x, fused, ops::TorchThreads());
  // oneDNN multiplies a single row by another kernel, with other rounding: a row of zeros keeps it
  // company.
  if (x.size(0) == 1) {
    return MultiplyOneDnn(at::constant_pad_nd(x, {0, 0, 0, 1}), fused).narrow(0, 0, 1);
  }
  return MultiplyOneDnn(x, fused);
}

at::Tensor Linear::OfTile(const at::Tensor& x, Fused fused) const {
  return MultipliesByOneDnn() ? MultiplyOneDnn(x, fused) : MultiplyOwn(x, fused, ops::Serial());
}

void Linear::OfTile(const at::Tensor& x, const at::Tensor& out) const {
  const at::Tensor rows = x.narrow(0, 0, out.size(0));
  if (MultipliesByOneDnn()) {
    out.copy_(MultiplyOneDnn(x, Fused::kNone).narrow(0, 0, out.size(0)));
  } else if (out.scalar_type() == kFloat) {
    own_(rows, ops::LinearActivation::kNone, out, ops::Serial());
  } else {
    out.copy_(MultiplyOwn(rows, Fused::kNone, ops::Serial()));
  }
}

at::Tensor Linear::MultiplyOneDnn(const at::Tensor& x, Fused fused) const {
  return LinearPointwise(x, packed_weight_, bias_, fused);
}

at::Tensor Linear::MultiplyOwn(const at::Tensor& x, Fused fused,
                               const ops::ParallelFor& threads) const {
  const at::Tensor wide = Widened(x);
  const at::Tensor result = at::empty({x.size(0), own_.outputs()}, wide.options());
  own_(wide, ActivationOf(fused), result, threads);
  return result.to(x.scalar_type());
}

}  // namespace tome
