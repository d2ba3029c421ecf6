#ifndef TOME_SERVER_ENGINE_TORCH_ENGINE_H_
#define TOME_SERVER_ENGINE_TORCH_ENGINE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "server/engine/engine.h"
#include "server/model/checkpoint.h"

namespace tome {

struct TorchEngineOptions {
  std::string directory;  // a checkpoint: model/checkpoint.h
  // "float32", "bfloat16", or "auto", which is the faster one on this processor.
  std::string dtype = "float32";
  // Torch's threads. They belong to the process: every engine in it must ask for the same number.
  int compute_threads = 1;
  // Has oneDNN build its kernels while the model loads: seconds now, so that no request waits for
  // one of them.
  bool warm_up = false;
};

// The engine on the CPU: reads, checks and packs the checkpoint, so that a wrong or unsupported one
// stops the start. INVALID_ARGUMENT or NOT_FOUND names the option or file, and in it the tensor or
// key. Warns where bfloat16 is served without instructions for it. Torch's exceptions end here and
// in the engine's Run. REQUIRES: compute_threads > 0.
absl::StatusOr<std::unique_ptr<Engine>> LoadTorchEngine(const TorchEngineOptions& options);
// Likewise from a checkpoint that is open already, whatever options.directory is.
absl::StatusOr<std::unique_ptr<Engine>> LoadTorchEngine(const Checkpoint& checkpoint,
                                                        const TorchEngineOptions& options);

}  // namespace tome

#endif  // TOME_SERVER_ENGINE_TORCH_ENGINE_H_
