#ifndef TOME_SERVER_CUDA_HANDLES_H_
#define TOME_SERVER_CUDA_HANDLES_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <type_traits>

#include "server/cuda/failure.h"

// CUDA's objects, owned.

namespace tome::cuda {

struct StreamDeleter {
  void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
};
struct EventDeleter {
  void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
};
struct GraphDeleter {
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
};
struct GraphExecDeleter {
  void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
};
struct DeviceMemoryDeleter {
  void operator()(std::byte* memory) const { cudaFree(memory); }
};
struct PinnedMemoryDeleter {
  void operator()(std::byte* memory) const { cudaFreeHost(memory); }
};

using Stream = std::unique_ptr<std::remove_pointer_t<cudaStream_t>, StreamDeleter>;
using Event = std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, EventDeleter>;
using Graph = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, GraphDeleter>;
using GraphExec = std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, GraphExecDeleter>;
using DeviceMemory = std::unique_ptr<std::byte[], DeviceMemoryDeleter>;
using PinnedMemory = std::unique_ptr<std::byte[], PinnedMemoryDeleter>;

Stream MakeStream();
// Waiting for it gives the core away instead of spinning.
Event MakeEvent();
DeviceMemory AllocateDevice(size_t bytes);
PinnedMemory AllocatePinned(size_t bytes);

}  // namespace tome::cuda

#endif  // TOME_SERVER_CUDA_HANDLES_H_
