#ifndef TOME_SERVER_CUDA_WEIGHTS_H_
#define TOME_SERVER_CUDA_WEIGHTS_H_

#include <cstddef>
#include <vector>

#include "server/cuda/handles.h"
#include "server/cuda/linear.h"
#include "server/cuda/module.h"
#include "server/kernels/element_type.h"

namespace tome::cuda {

kernels::ElementType KernelType(ElementType type);

// Elements of a patch's row: its pixels, padded to what the kernels and cuBLASLt read at once.
int PatchRowStride(const Model& model);
// Outputs of fc1.
int Fc1Dim(const Model& model);

struct DeviceNorm {
  const float* weight = nullptr;  // null: no norm
  const float* bias = nullptr;
};

struct DeviceBlock {
  DeviceNorm norm1;
  LinearLayer qkv;
  LinearLayer projection;
  DeviceNorm norm2;
  LinearLayer fc1;
  LinearLayer fc2;
};

// A model's weights on the device: linear layers in the compute type, everything else float32.
// Immutable but for the layers' use.
struct Weights {
  // What they take on the device.
  static size_t Bytes(const Model& model, kernels::ElementType type);

  Weights() = default;
  // Allocates, converts and copies. `algorithms` outlives it.
  Weights(const Model& model, const WeightSource& source, kernels::ElementType type,
          LinearAlgorithms& algorithms);

  DeviceMemory memory;
  LinearLayer patch_embedding;
  const float* prefix = nullptr;
  const float* position = nullptr;
  DeviceNorm norm_before_blocks;
  std::vector<DeviceBlock> blocks;
  DeviceNorm final_norm;
  LinearLayer output_projection;  // float32, as all behind the pooling

  // Of attention pooling.
  const void* pool_query = nullptr;  // T [D], the same for every image
  LinearLayer pool_key_value;
  LinearLayer pool_projection;
  DeviceNorm pool_norm;
  LinearLayer pool_fc1;
  LinearLayer pool_fc2;
};

}  // namespace tome::cuda

#endif  // TOME_SERVER_CUDA_WEIGHTS_H_
