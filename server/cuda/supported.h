#ifndef TOME_SERVER_CUDA_SUPPORTED_H_
#define TOME_SERVER_CUDA_SUPPORTED_H_

#include "server/cuda/module.h"

namespace tome::cuda {

// Throws kInvalidArgument, naming the value and the limit, for a model or options that the kernels
// cannot serve.
void CheckSupported(const Model& model, const Options& options);

}  // namespace tome::cuda

#endif  // TOME_SERVER_CUDA_SUPPORTED_H_
