#include "server/cuda/handles.h"

namespace tome::cuda {

Stream MakeStream() {
  cudaStream_t stream = nullptr;
  Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream");
  return Stream(stream);
}

Event MakeEvent() {
  cudaEvent_t event = nullptr;
  Check(cudaEventCreateWithFlags(&event, cudaEventBlockingSync), "creating an event");
  return Event(event);
}

DeviceMemory AllocateDevice(size_t bytes) {
  void* memory = nullptr;
  Check(cudaMalloc(&memory, bytes), "allocating device memory");
  return DeviceMemory(static_cast<std::byte*>(memory));
}

PinnedMemory AllocatePinned(size_t bytes) {
  void* memory = nullptr;
  Check(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault), "allocating pinned host memory");
  return PinnedMemory(static_cast<std::byte*>(memory));
}

}  // namespace tome::cuda
