#include "server/model/vit_tensors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "server/base/status.h"
#include "server/model/resample_positions.h"

namespace tome {
namespace {

float FromFloat16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = bits >> 10 & 0x1fu;
  const uint32_t fraction = bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent == 0) {
    // Zero or subnormal: a multiple of 2^-24.
    const float magnitude = std::ldexp(static_cast<float>(fraction), -24);
    return sign == 0 ? magnitude : -magnitude;
  }
  // Bias 15 becomes 127.
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

float FromBFloat16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// REQUIRES: a floating-point type, first and count within the tensor.
void AppendFloats(const TensorView& tensor, size_t first, size_t count, std::vector<float>* out) {
  if (tensor.type == TensorType::kFloat32) {
    const auto values = tensor.As<float>().subspan(first, count);
    out->insert(out->end(), values.begin(), values.end());
    return;
  }
  const auto convert = tensor.type == TensorType::kFloat16 ? FromFloat16 : FromBFloat16;
  const auto values = tensor.As<uint16_t>().subspan(first, count);
  std::ranges::transform(values, std::back_inserter(*out), convert);
}

size_t Count(const TensorView& tensor) {
  return tensor.bytes.size() / (tensor.type == TensorType::kFloat32 ? 4 : 2);
}

}  // namespace

absl::StatusOr<VitTensors> VitTensors::Open(const VitConfig& config, TensorFiles files) {
  TOME_ASSIGN_OR_RETURN(VitLayout layout, LayOutVit(config, files));
  return VitTensors(std::move(layout), std::move(files));
}

VitTensors::VitTensors(VitLayout layout, TensorFiles files)
    : layout_(std::move(layout)), files_(std::move(files)) {}

std::vector<float> VitTensors::Values(const std::string& name) const {
  const TensorView& tensor = *files_.Find(name);
  std::vector<float> values;
  values.reserve(Count(tensor));
  AppendFloats(tensor, 0, Count(tensor), &values);
  return values;
}

LinearValues VitTensors::Linear(LinearRole role, int block) const {
  const std::vector<StoredLinear> parts = layout_.Linear(role, block);
  LinearValues values;
  for (const StoredLinear& part : parts) values.outputs += static_cast<int>(part.rows);
  for (const StoredLinear& part : parts) {
    const TensorView& weight = *files_.Find(part.weight);
    const size_t inputs = Count(weight) / part.weight_shape[0];
    values.inputs = static_cast<int>(inputs);
    values.weight.reserve(values.outputs * inputs);
    AppendFloats(weight, part.first_row * inputs, part.rows * inputs, &values.weight);
    if (part.bias.empty()) {
      values.bias.resize(values.bias.size() + part.rows);
    } else {
      AppendFloats(*files_.Find(part.bias), part.first_row, part.rows, &values.bias);
    }
  }
  if (const std::string name = layout_.Scale(role, block); !name.empty()) {
    const std::vector<float> scale = Values(name);
    float* row = values.weight.data();
    for (int i = 0; i < values.outputs; ++i) {
      for (int j = 0; j < values.inputs; ++j) *row++ *= scale[i];
      values.bias[i] *= scale[i];
    }
  }
  return values;
}

NormValues VitTensors::Norm(NormRole role, int block) const {
  const std::string module = layout_.Norm(role, block);
  return {.weight = Values(module + ".weight"), .bias = Values(module + ".bias")};
}

std::vector<float> VitTensors::StoredPositions() const {
  return Values(layout_.Name(layout_.names->position_embedding));
}

std::vector<float> VitTensors::PrefixTokens() const {
  const VitNames& names = *layout_.names;
  std::vector<float> tokens;
  const auto append = [&](bool present, absl::string_view name) {
    if (!present) return;
    const std::vector<float> rows = Values(layout_.Name(name));
    tokens.insert(tokens.end(), rows.begin(), rows.end());
  };
  append(vit().class_token, names.class_token);
  append(vit().distillation_token, names.distillation_token);
  append(vit().register_tokens > 0, names.register_tokens);
  const std::vector<float> positions = StoredPositions();
  const size_t positioned = static_cast<size_t>(layout_.position_prefix) * vit().token_dim;
  for (size_t i = 0; i < positioned; ++i) tokens[i] += positions[i];
  return tokens;
}

std::vector<float> VitTensors::PositionEmbedding() const {
  std::vector<float> positions = StoredPositions();
  positions.erase(
      positions.begin(),
      positions.begin() + static_cast<ptrdiff_t>(layout_.position_prefix) * vit().token_dim);
  const ImageSize stored = {layout_.position_grid_height, layout_.position_grid_width};
  const ImageSize grid = {vit().grid_height, vit().grid_width};
  if (stored == grid) return positions;
  return ResamplePositions(positions, vit().token_dim, stored, grid, layout_.position_resampling);
}

std::vector<float> VitTensors::PoolQuery() const {
  const LinearValues query = Linear(LinearRole::kPoolQuery);
  const std::vector<float> probe = Values(layout_.Name(layout_.names->pool_probe));
  std::vector<float> result;
  const float* row = query.weight.data();
  for (int i = 0; i < query.outputs; ++i) {
    double sum = query.bias[i];
    for (int j = 0; j < query.inputs; ++j) sum += static_cast<double>(*row++) * probe[j];
    result.push_back(static_cast<float>(sum));
  }
  return result;
}

}  // namespace tome
