#include "server/ops/packed_linear.h"

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

namespace tome::ops {
namespace {

void CheckRows(const at::Tensor& tensor, int64_t columns) {
  TORCH_CHECK(tensor.scalar_type() == c10::ScalarType::Float && tensor.dim() == 2 &&
                  tensor.size(1) == columns && (tensor.stride(1) == 1 || columns == 1),
              "expected dense float32 rows of ", columns, ", got ", tensor.sizes(), " of ",
              tensor.scalar_type());
}

}  // namespace

PackedLinear::PackedLinear(const at::Tensor& weight, const at::Tensor& bias)
    : outputs_(weight.size(0)), inputs_(weight.size(1)) {
  CheckRows(weight, inputs_);
  TORCH_CHECK(weight.is_contiguous() && bias.is_contiguous() && bias.numel() == outputs_ &&
                  bias.scalar_type() == c10::ScalarType::Float,
              "weight ", weight.sizes(), " and bias ", bias.sizes(), " are not of one layer");
  const int outputs = static_cast<int>(outputs_);
  const int inputs = static_cast<int>(inputs_);
  panels_ = at::empty({static_cast<int64_t>(kernels::cpu::LinearPanelFloats(outputs, inputs))},
                      weight.options());
  kernels::cpu::PackLinear(weight.const_data_ptr<float>(), bias.const_data_ptr<float>(), outputs,
                           inputs, kernels::cpu::BestInstructionSet(),
                           panels_.mutable_data_ptr<float>());
}

void PackedLinear::operator()(const at::Tensor& x, LinearActivation activation,
                              const at::Tensor& out,
                              const kernels::cpu::ParallelFor& threads) const {
  CheckRows(x, inputs_);
  CheckRows(out, outputs_);
  TORCH_CHECK(x.size(0) == out.size(0), x.size(0), " rows for ", out.size(0));
  kernels::cpu::Linear({.x = x.const_data_ptr<float>(),
                        .x_stride = static_cast<size_t>(x.stride(0)),
                        .panels = panels_.const_data_ptr<float>(),
                        .activation = activation,
                        .out = out.mutable_data_ptr<float>(),
                        .out_stride = static_cast<size_t>(out.stride(0)),
                        .rows = static_cast<int>(x.size(0)),
                        .inputs = static_cast<int>(inputs_),
                        .outputs = static_cast<int>(outputs_)},
                       {threads});
}

}  // namespace tome::ops
