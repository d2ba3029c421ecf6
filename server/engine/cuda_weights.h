#ifndef TOME_SERVER_ENGINE_CUDA_WEIGHTS_H_
#define TOME_SERVER_ENGINE_CUDA_WEIGHTS_H_

#include "server/cuda/module.h"
#include "server/model/vit_tensors.h"

namespace tome {

// A checkpoint in the module's words.
cuda::Model CudaModelOf(const VitDescription& vit);
cuda::Pooling CudaPoolingOf(VitPooling pooling);

// Reads `tensors`, which outlive it, a part at a time.
cuda::WeightSource CudaWeightsOf(const VitTensors& tensors);

}  // namespace tome

#endif  // TOME_SERVER_ENGINE_CUDA_WEIGHTS_H_
