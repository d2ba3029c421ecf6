#ifndef TOME_SERVER_ENGINE_CUDA_ENGINE_H_
#define TOME_SERVER_ENGINE_CUDA_ENGINE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "server/cuda/module.h"
#include "server/engine/engine.h"
#include "server/model/checkpoint.h"

namespace tome {

struct CudaEngineOptions {
  int device = 0;
  std::string dtype = "float32";  // "float16", "bfloat16"; "auto" is the last one
  int max_images = 1;             // of a batch: the device's memory is sized by it once
  int concurrent_runs = 2;        // the copy of one batch overlaps the pass of another
  int max_graphs = 64;            // plans that recur, kept as CUDA graphs
};

// The engine on one GPU, through the opened module, which outlives it. Allocates on the device all
// that it will ever need. INVALID_ARGUMENT names what of the model or type is not supported;
// FAILED_PRECONDITION tells how much memory is missing.
absl::StatusOr<std::unique_ptr<Engine>> LoadCudaEngine(const cuda::Table& module,
                                                       const Checkpoint& checkpoint,
                                                       const CudaEngineOptions& options);

}  // namespace tome

#endif  // TOME_SERVER_ENGINE_CUDA_ENGINE_H_
