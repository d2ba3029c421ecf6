#include "server/lab/trainable_vit.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>

#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "server/base/status.h"
#include "server/lab/atomic_file.h"
#include "server/model/precision.h"
#include "server/model/resample_positions.h"

namespace tome {
namespace {

c10::ScalarType TypeOf(TensorType type) {
  switch (type) {
    case TensorType::kFloat16:
      return c10::ScalarType::Half;
    case TensorType::kBFloat16:
      return c10::ScalarType::BFloat16;
    default:  // LayOutVit lets floating-point tensors through alone
      return c10::ScalarType::Float;
  }
}

at::Tensor ToFloat(const TensorView& view, at::Device device) {
  return at::from_blob(const_cast<std::byte*>(view.bytes.data()), view.shape,
                       at::TensorOptions().dtype(TypeOf(view.type)))
      .to(device, kFloat, /*non_blocking=*/false, /*copy=*/true);
}

// How a position embedding reaches the input's grid, as a matrix: resampling is linear, so what it
// makes of each stored position alone says everything.
at::Tensor ResamplingMatrix(const VitLayout& layout, at::Device device) {
  const ImageSize stored = {layout.position_grid_height, layout.position_grid_width};
  const ImageSize grid = {layout.vit.grid_height, layout.vit.grid_width};
  if (stored == grid) return {};
  const int count = stored.height * stored.width;
  std::vector<float> unit(static_cast<size_t>(count) * count);
  for (int i = 0; i < count; ++i) unit[static_cast<size_t>(i) * count + i] = 1.0f;
  std::vector<float> resampled =
      ResamplePositions(unit, count, stored, grid, layout.position_resampling);
  return at::from_blob(resampled.data(), {layout.vit.patches(), count}).clone().to(device);
}

}  // namespace

absl::StatusOr<TrainableVit> TrainableVit::Open(const std::string& directory, at::Device device) {
  TOME_ASSIGN_OR_RETURN(Checkpoint checkpoint, OpenCheckpoint(directory));
  TrainableVit vit(std::move(checkpoint), directory, device);
  vit.Weights(kFloat);
  return vit;
}

TrainableVit::TrainableVit(Checkpoint checkpoint, std::string directory, at::Device device)
    : checkpoint_(std::move(checkpoint)),
      directory_(std::move(directory)),
      device_(device),
      position_resampling_(ResamplingMatrix(checkpoint_.tensors.layout(), device)) {}

const at::Tensor& TrainableVit::Parameter(const std::string& name) {
  const auto found = parameters_.find(name);
  if (found != parameters_.end()) return found->second;
  at::Tensor parameter = ToFloat(*checkpoint_.tensors.files().Find(name), device_);
  parameter.set_requires_grad(true);
  return parameters_.emplace(name, std::move(parameter)).first->second;
}

std::pair<at::Tensor, at::Tensor> TrainableVit::WeightAndBias(LinearRole role, int block) {
  const VitLayout& layout = checkpoint_.tensors.layout();
  std::vector<at::Tensor> weights;
  std::vector<at::Tensor> biases;
  for (const StoredLinear& part : layout.Linear(role, block)) {
    weights.push_back(Parameter(part.weight).flatten(1).narrow(0, part.first_row, part.rows));
    biases.push_back(part.bias.empty()
                         ? at::zeros({part.rows}, at::TensorOptions().dtype(kFloat).device(device_))
                         : Parameter(part.bias).narrow(0, part.first_row, part.rows));
  }
  at::Tensor weight = at::cat(weights);
  at::Tensor bias = at::cat(biases);
  if (const std::string name = layout.Scale(role, block); !name.empty()) {
    const at::Tensor& scale = Parameter(name);
    weight = weight * scale.unsqueeze(1);
    bias = bias * scale;
  }
  return {weight, bias};
}

Linear TrainableVit::LinearOf(LinearRole role, int block, c10::ScalarType type) {
  const auto [weight, bias] = WeightAndBias(role, block);
  return Linear::WithGradients(weight.to(type), bias.to(type));
}

LayerNormWeights TrainableVit::NormOf(NormRole role, int block) {
  const std::string module = checkpoint_.tensors.layout().Norm(role, block);
  return {.weight = Parameter(module + ".weight"), .bias = Parameter(module + ".bias")};
}

at::Tensor TrainableVit::PrefixTokens() {
  const VitLayout& layout = checkpoint_.tensors.layout();
  const VitNames& names = *layout.names;
  std::vector<at::Tensor> rows = {
      at::zeros({0, vit().token_dim}, at::TensorOptions().dtype(kFloat).device(device_))};
  const auto append = [&](bool present, absl::string_view name) {
    if (present) rows.push_back(Parameter(layout.Name(name)).reshape({-1, vit().token_dim}));
  };
  append(vit().class_token, names.class_token);
  append(vit().distillation_token, names.distillation_token);
  append(vit().register_tokens > 0, names.register_tokens);
  const at::Tensor tokens = at::cat(rows);
  const at::Tensor positions =
      Parameter(layout.Name(names.position_embedding)).reshape({-1, vit().token_dim});
  const int64_t positioned = layout.position_prefix;
  return at::cat({tokens.slice(0, 0, positioned) + positions.slice(0, 0, positioned),
                  tokens.slice(0, positioned)});
}

at::Tensor TrainableVit::PositionEmbedding() {
  const VitLayout& layout = checkpoint_.tensors.layout();
  const at::Tensor stored = Parameter(layout.Name(layout.names->position_embedding))
                                .reshape({-1, vit().token_dim})
                                .slice(0, layout.position_prefix);
  return position_resampling_.defined() ? at::matmul(position_resampling_, stored) : stored;
}

VitWeights TrainableVit::Weights(c10::ScalarType compute_type) {
  const auto head_linear = [&](LinearRole role) { return LinearOf(role, 0, kFloat); };
  VitWeights weights;
  weights.compute_type = compute_type;
  weights.patch_embedding = LinearOf(LinearRole::kPatchEmbedding, 0, compute_type);
  weights.prefix = PrefixTokens();
  weights.position_embedding = PositionEmbedding();
  if (vit().norm_before_blocks) weights.norm_before_blocks = NormOf(NormRole::kBeforeBlocks, 0);
  for (int i = 0; i < vit().blocks; ++i) {
    weights.blocks.push_back(
        {.norm1 = NormOf(NormRole::kNorm1, i),
         .qkv = LinearOf(LinearRole::kQkv, i, compute_type),
         .projection = LinearOf(LinearRole::kAttentionProjection, i, compute_type),
         .norm2 = NormOf(NormRole::kNorm2, i),
         .fc1 = LinearOf(LinearRole::kFc1, i, compute_type),
         .fc2 = LinearOf(LinearRole::kFc2, i, compute_type)});
  }
  weights.final_norm = NormOf(NormRole::kFinal, 0);
  if (vit().attention_pooling) {
    const auto [query, query_bias] = WeightAndBias(LinearRole::kPoolQuery, 0);
    const VitLayout& layout = checkpoint_.tensors.layout();
    const at::Tensor probe =
        Parameter(layout.Name(layout.names->pool_probe)).reshape({1, vit().token_dim});
    weights.pool = {.query = at::linear(probe, query, query_bias)
                                 .view({vit().heads, 1, vit().token_dim / vit().heads}),
                    .key_value = head_linear(LinearRole::kPoolKeyValue),
                    .projection = head_linear(LinearRole::kPoolProjection),
                    .norm = NormOf(NormRole::kPool, 0),
                    .fc1 = head_linear(LinearRole::kPoolFc1),
                    .fc2 = head_linear(LinearRole::kPoolFc2)};
  }
  if (vit().projection_dim > 0) weights.projection = head_linear(LinearRole::kProjection);
  return weights;
}

absl::Status TrainableVit::Save(const std::string& directory, StoredFloat stored) const {
  SafetensorsWriter writer;
  const TensorFiles& files = checkpoint_.tensors.files();
  for (const std::string& name : files.names()) {
    const auto parameter = parameters_.find(name);
    if (parameter == parameters_.end()) {
      writer.Add(name, *files.Find(name));
    } else {
      writer.Add(name, parameter->second, stored);
    }
  }
  TOME_RETURN_IF_ERROR(MakeDirectories(directory));
  TOME_RETURN_IF_ERROR(WriteFileAtOnce(directory + "/model.safetensors", writer.Bytes()));
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    const std::string name = entry.path().filename().string();
    // The index of shards does not fit the one file that was written; a profile is of other
    // weights, and training.json of another run.
    if (!absl::EndsWith(name, ".json") || absl::EndsWith(name, ".index.json") ||
        name == "profile.json" || name == "training.json") {
      continue;
    }
    TOME_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(entry.path().string()));
    TOME_RETURN_IF_ERROR(WriteFileAtOnce(absl::StrCat(directory, "/", name), text));
  }
  return absl::OkStatus();
}

}  // namespace tome
