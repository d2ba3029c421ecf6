#ifndef TOME_SERVER_ENGINE_CUDA_MODULE_H_
#define TOME_SERVER_ENGINE_CUDA_MODULE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/cuda/module.h"

namespace tome {

// libtome_cuda.so beside the running program, where a build and an installation put it.
std::string CudaModuleBesideProgram();

// Opens the module and what it links (CUDA's runtime and cuBLASLt), for as long as the process
// lives. FAILED_PRECONDITION with the loader's reason, or if the module is of another version.
absl::StatusOr<const cuda::Table*> OpenCudaModule(const std::string& path);

// The GPUs that `device` ("cuda", "cuda:N", "cuda:all") means, by number. FAILED_PRECONDITION if
// there is none, or not that one. REQUIRES: `device` is one of these.
absl::StatusOr<std::vector<int>> CudaDevices(const cuda::Table& module, const std::string& device);

// What a call of the module answered. INTERNAL hides nothing here: the text is for the log and the
// start, not for callers.
absl::Status ToStatus(cuda::Code code, const cuda::Message& message);

}  // namespace tome

#endif  // TOME_SERVER_ENGINE_CUDA_MODULE_H_
