#include "server/engine/cuda_weights.h"

#include <algorithm>
#include <vector>

namespace tome {
namespace {

cuda::Activation CudaActivationOf(const VitDescription& vit) {
  if (vit.mlp == VitMlp::kSwiGlu) return cuda::Activation::kSwiGlu;
  switch (vit.activation) {
    case VitActivation::kGelu:
      return cuda::Activation::kGelu;
    case VitActivation::kGeluTanh:
      return cuda::Activation::kGeluTanh;
    case VitActivation::kQuickGelu:
      break;
  }
  return cuda::Activation::kQuickGelu;
}

// A part's values, as float32.
struct PartValues {
  std::vector<float> weight;
  std::vector<float> bias = {};
};

PartValues Of(LinearValues layer) {
  return {.weight = std::move(layer.weight), .bias = std::move(layer.bias)};
}
PartValues Of(NormValues norm) {
  return {.weight = std::move(norm.weight), .bias = std::move(norm.bias)};
}

PartValues ReadPart(const VitTensors& tensors, cuda::Part part, int block) {
  switch (part) {
    case cuda::Part::kPatchEmbedding:
      return Of(tensors.Linear(LinearRole::kPatchEmbedding));
    case cuda::Part::kPrefixTokens:
      return {.weight = tensors.PrefixTokens()};
    case cuda::Part::kPositionEmbedding:
      return {.weight = tensors.PositionEmbedding()};
    case cuda::Part::kNormBeforeBlocks:
      return Of(tensors.Norm(NormRole::kBeforeBlocks));
    case cuda::Part::kNorm1:
      return Of(tensors.Norm(NormRole::kNorm1, block));
    case cuda::Part::kQkv:
      return Of(tensors.Linear(LinearRole::kQkv, block));
    case cuda::Part::kAttentionProjection:
      return Of(tensors.Linear(LinearRole::kAttentionProjection, block));
    case cuda::Part::kNorm2:
      return Of(tensors.Norm(NormRole::kNorm2, block));
    case cuda::Part::kFc1:
      return Of(tensors.Linear(LinearRole::kFc1, block));
    case cuda::Part::kFc2:
      return Of(tensors.Linear(LinearRole::kFc2, block));
    case cuda::Part::kFinalNorm:
      return Of(tensors.Norm(NormRole::kFinal));
    case cuda::Part::kProjection:
      return Of(tensors.Linear(LinearRole::kProjection));
    case cuda::Part::kPoolQuery:
      return {.weight = tensors.PoolQuery()};
    case cuda::Part::kPoolKeyValue:
      return Of(tensors.Linear(LinearRole::kPoolKeyValue));
    case cuda::Part::kPoolProjection:
      return Of(tensors.Linear(LinearRole::kPoolProjection));
    case cuda::Part::kPoolNorm:
      return Of(tensors.Norm(NormRole::kPool));
    case cuda::Part::kPoolFc1:
      return Of(tensors.Linear(LinearRole::kPoolFc1));
    case cuda::Part::kPoolFc2:
      return Of(tensors.Linear(LinearRole::kPoolFc2));
  }
  return {};
}

bool Read(void* context, cuda::Part part, int32_t block, float* weight, size_t weight_count,
          float* bias, size_t bias_count) {
  const PartValues values = ReadPart(*static_cast<const VitTensors*>(context), part, block);
  if (values.weight.size() != weight_count || values.bias.size() != bias_count) return false;
  std::copy(values.weight.begin(), values.weight.end(), weight);
  std::copy(values.bias.begin(), values.bias.end(), bias);
  return true;
}

}  // namespace

cuda::Pooling CudaPoolingOf(VitPooling pooling) {
  switch (pooling) {
    case VitPooling::kClassToken:
      return cuda::Pooling::kClassToken;
    case VitPooling::kMeanOfClassTokens:
      return cuda::Pooling::kMeanOfClassTokens;
    case VitPooling::kMeanOfPatches:
      return cuda::Pooling::kMeanOfPatches;
    case VitPooling::kAttention:
      break;
  }
  return cuda::Pooling::kAttention;
}

cuda::Model CudaModelOf(const VitDescription& vit) {
  cuda::Model model;
  model.image_height = vit.preprocessing.crop_height;
  model.image_width = vit.preprocessing.crop_width;
  model.patch_size = vit.patch_size;
  model.grid_height = vit.grid_height;
  model.grid_width = vit.grid_width;
  model.prefix_tokens = vit.prefix_tokens();
  model.token_dim = vit.token_dim;
  model.mlp_hidden_dim = vit.mlp_hidden_dim;
  model.heads = vit.heads;
  model.blocks = vit.blocks;
  model.projection_dim = vit.projection_dim;
  model.norm_epsilon = static_cast<float>(vit.norm_epsilon);
  model.activation = CudaActivationOf(vit);
  model.attention_pooling = vit.attention_pooling;
  model.norm_before_blocks = vit.norm_before_blocks;
  model.norm_after_pooling = vit.norm_after_pooling;
  model.proportional_attention = vit.proportional_attention;
  for (int channel = 0; channel < 3; ++channel) {
    const double mean = vit.preprocessing.mean[channel];
    const double std = vit.preprocessing.std[channel];
    model.pixel_scale[channel] = static_cast<float>(1.0 / (255.0 * std));
    model.pixel_shift[channel] = static_cast<float>(-mean / std);
  }
  return model;
}

cuda::WeightSource CudaWeightsOf(const VitTensors& tensors) {
  // Read takes it as const again.
  return {.context = const_cast<VitTensors*>(&tensors), .read = Read};
}

}  // namespace tome
