#include "server/cuda/weights.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include <cstring>
#include <string>

#include "server/cuda/arena.h"
#include "server/cuda/failure.h"

namespace tome::cuda {
namespace {

using ComputeType = kernels::ElementType;

// cuBLASLt's GELU is the one by tanh; any other activation is a kernel of its own.
LinearEpilogue Fc1Epilogue(const Model& model) {
  return model.activation == Activation::kGeluTanh ? LinearEpilogue::kGeluTanh
                                                   : LinearEpilogue::kNone;
}

// Float32 [rows, columns] as T [rows, stride], zero behind the columns.
std::vector<std::byte> Convert(const float* values, size_t rows, size_t columns, size_t stride,
                               ComputeType type) {
  std::vector<std::byte> converted(rows * stride * kernels::ElementBytes(type));
  for (size_t row = 0; row < rows; ++row) {
    const float* from = values + row * columns;
    std::byte* to = converted.data() + row * stride * kernels::ElementBytes(type);
    switch (type) {
      case ComputeType::kFloat32:
        std::memcpy(to, from, columns * sizeof(float));
        break;
      case ComputeType::kFloat16:
        for (size_t i = 0; i < columns; ++i) {
          reinterpret_cast<__half*>(to)[i] = __float2half_rn(from[i]);
        }
        break;
      case ComputeType::kBFloat16:
        for (size_t i = 0; i < columns; ++i) {
          reinterpret_cast<__nv_bfloat16*>(to)[i] = __float2bfloat16_rn(from[i]);
        }
        break;
    }
  }
  return converted;
}

// Walks all weights of a model: over no memory it only measures.
class Loader {
 public:
  Loader(std::byte* memory, const WeightSource* source, LinearAlgorithms* algorithms)
      : arena_(memory), measuring_(memory == nullptr), source_(source), algorithms_(algorithms) {}

  size_t used() const { return arena_.used(); }

  // A part that is not a layer, in `type`.
  const void* Values(Part part, size_t count, ComputeType type) {
    std::byte* const place = arena_.TakeBytes(count * kernels::ElementBytes(type));
    if (measuring_) return nullptr;
    Read(part, 0, count, 0);
    Copy(weight_, 1, count, count, type, place);
    return place;
  }

  DeviceNorm Norm(Part part, int width, int block = 0) {
    std::byte* const weight = arena_.TakeBytes(sizeof(float) * width);
    std::byte* const bias = arena_.TakeBytes(sizeof(float) * width);
    if (measuring_) return {};
    Read(part, block, width, width);
    Copy(weight_, 1, width, width, ComputeType::kFloat32, weight);
    Copy(bias_, 1, width, width, ComputeType::kFloat32, bias);
    return {.weight = reinterpret_cast<const float*>(weight),
            .bias = reinterpret_cast<const float*>(bias)};
  }

  LinearLayer Layer(Part part, const LinearShape& shape, int block = 0) {
    return PaddedLayer(part, shape, shape.inputs, block);
  }

  // A layer whose stored weight has only the first `columns` of its inputs.
  LinearLayer PaddedLayer(Part part, const LinearShape& shape, int columns, int block = 0) {
    const size_t outputs = shape.outputs;
    const size_t bytes = kernels::ElementBytes(shape.type);
    std::byte* const weight = arena_.TakeBytes(outputs * shape.inputs * bytes);
    std::byte* const bias = arena_.TakeBytes(outputs * bytes);
    if (measuring_) return {};
    Read(part, block, outputs * columns, outputs);
    Copy(weight_, outputs, columns, shape.inputs, shape.type, weight);
    Copy(bias_, 1, outputs, outputs, shape.type, bias);
    return {*algorithms_, shape, weight, bias};
  }

 private:
  // Into weight_ and bias_.
  void Read(Part part, int block, size_t weight_count, size_t bias_count) {
    weight_.resize(weight_count);
    bias_.resize(bias_count);
    Require(source_->read(source_->context, part, block, weight_.data(), weight_count,
                          bias_count > 0 ? bias_.data() : nullptr, bias_count),
            "weights: part " + std::to_string(static_cast<int>(part)) + " of block " +
                std::to_string(block) + " has another size than the model");
  }

  static void Copy(const std::vector<float>& values, size_t rows, size_t columns, size_t stride,
                   ComputeType type, std::byte* place) {
    const std::vector<std::byte> converted = Convert(values.data(), rows, columns, stride, type);
    if (converted.empty()) return;
    Check(cudaMemcpy(place, converted.data(), converted.size(), cudaMemcpyHostToDevice),
          "copying weights to the device");
  }

  Arena arena_;
  const bool measuring_;
  const WeightSource* source_;
  LinearAlgorithms* algorithms_;
  std::vector<float> weight_;
  std::vector<float> bias_;
};

DeviceBlock LoadBlock(const Model& model, ComputeType type, int index, Loader& loader) {
  const int d = model.token_dim;
  return {.norm1 = loader.Norm(Part::kNorm1, d, index),
          .qkv = loader.Layer(Part::kQkv, {.outputs = 3 * d, .inputs = d, .type = type}, index),
          .projection = loader.Layer(
              Part::kAttentionProjection,
              {.outputs = d, .inputs = d, .type = type, .adds_to_output = true}, index),
          .norm2 = loader.Norm(Part::kNorm2, d, index),
          .fc1 = loader.Layer(
              Part::kFc1,
              {.outputs = Fc1Dim(model), .inputs = d, .type = type, .epilogue = Fc1Epilogue(model)},
              index),
          .fc2 = loader.Layer(
              Part::kFc2,
              {.outputs = d, .inputs = model.mlp_hidden_dim, .type = type, .adds_to_output = true},
              index)};
}

void LoadAttentionPooling(const Model& model, ComputeType type, Loader& loader, Weights& weights) {
  const int d = model.token_dim;
  const int hidden = model.mlp_hidden_dim;
  weights.pool_query = loader.Values(Part::kPoolQuery, d, type);
  weights.pool_key_value =
      loader.Layer(Part::kPoolKeyValue, {.outputs = 2 * d, .inputs = d, .type = type});
  weights.pool_projection =
      loader.Layer(Part::kPoolProjection, {.outputs = d, .inputs = d, .type = type});
  weights.pool_norm = loader.Norm(Part::kPoolNorm, d);
  weights.pool_fc1 =
      loader.Layer(Part::kPoolFc1,
                   {.outputs = hidden, .inputs = d, .type = type, .epilogue = Fc1Epilogue(model)});
  weights.pool_fc2 = loader.Layer(
      Part::kPoolFc2, {.outputs = d, .inputs = hidden, .type = type, .adds_to_output = true});
}

void Load(const Model& model, ComputeType type, Loader& loader, Weights& weights) {
  const size_t d = model.token_dim;
  const int pixels = 3 * model.patch_size * model.patch_size;
  weights.patch_embedding = loader.PaddedLayer(
      Part::kPatchEmbedding,
      {.outputs = model.token_dim, .inputs = PatchRowStride(model), .type = type}, pixels);
  weights.prefix = static_cast<const float*>(
      loader.Values(Part::kPrefixTokens, model.prefix_tokens * d, ComputeType::kFloat32));
  weights.position = static_cast<const float*>(loader.Values(
      Part::kPositionEmbedding, model.grid_height * model.grid_width * d, ComputeType::kFloat32));
  if (model.norm_before_blocks) {
    weights.norm_before_blocks = loader.Norm(Part::kNormBeforeBlocks, model.token_dim);
  }
  for (int i = 0; i < model.blocks; ++i) {
    weights.blocks.push_back(LoadBlock(model, type, i, loader));
  }
  weights.final_norm = loader.Norm(Part::kFinalNorm, model.token_dim);
  if (model.projection_dim > 0) {
    weights.output_projection = loader.Layer(Part::kProjection, {.outputs = model.projection_dim,
                                                                 .inputs = model.token_dim,
                                                                 .type = ComputeType::kFloat32});
  }
  if (model.attention_pooling) LoadAttentionPooling(model, type, loader, weights);
}

}  // namespace

kernels::ElementType KernelType(ElementType type) {
  switch (type) {
    case ElementType::kFloat32:
      return ComputeType::kFloat32;
    case ElementType::kFloat16:
      return ComputeType::kFloat16;
    case ElementType::kBFloat16:
      return ComputeType::kBFloat16;
  }
  throw Failure(Code::kInvalidArgument, "unknown element type");
}

int PatchRowStride(const Model& model) {
  const int elements = 3 * model.patch_size * model.patch_size;
  const int step = kernels::kElementsPerAccess;
  return (elements + step - 1) / step * step;
}

int Fc1Dim(const Model& model) {
  return model.activation == Activation::kSwiGlu ? 2 * model.mlp_hidden_dim : model.mlp_hidden_dim;
}

size_t Weights::Bytes(const Model& model, ComputeType type) {
  Loader loader(nullptr, nullptr, nullptr);
  Weights nothing;
  Load(model, type, loader, nothing);
  return loader.used();
}

Weights::Weights(const Model& model, const WeightSource& source, ComputeType type,
                 LinearAlgorithms& algorithms)
    : memory(AllocateDevice(Bytes(model, type))) {
  Loader loader(memory.get(), &source, &algorithms);
  Load(model, type, loader, *this);
}

}  // namespace tome::cuda
