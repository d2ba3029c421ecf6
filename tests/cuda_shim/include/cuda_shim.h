#ifndef TOME_TESTS_CUDA_SHIM_CUDA_SHIM_H_
#define TOME_TESTS_CUDA_SHIM_CUDA_SHIM_H_

// What a test decides about the shim's devices, and what the shim's own headers are made of.

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>

namespace cuda_shim {

// What the runtime says of every device.
struct Device {
  int count = 1;
  bool driver = true;  // whether there is one; without, counting the devices is an error
  int compute_capability_major = 9;
  int compute_capability_minor = 0;
  int multiprocessors = 132;
  size_t shared_memory_per_block = 227 * 1024;  // what a kernel may ask for; 48 KiB without asking
  size_t memory = size_t{4} << 30;
};
void SetDevice(const Device& device);

// From now on every call that does work answers `error`, as a lost device does; cudaSuccess ends
// it.
void FailCalls(cudaError_t error);
// Likewise what `failing` says of the calling thread's device.
void FailCallsOf(std::function<cudaError_t(int device)> failing);

// Does `work` in stream order: at once, or, where the stream is being captured, whenever the graph
// is launched. What stands in for a library's calls (cuBLASLt) goes through here, too.
cudaError_t Enqueue(cudaStream_t stream, std::function<cudaError_t()> work);

// A grid of blocks, one after another; `thread` runs once for each thread of a block. Refuses what
// a device would refuse: cudaErrorInvalidConfiguration for more than 1,024 threads, a grid beyond
// 2^31 - 1 x 65,535 x 65,535 or an empty one, more shared memory than `kernel` was allowed.
cudaError_t LaunchGrid(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes,
                       const std::function<void()>& thread);

// Where the calling thread stands. Ends the program outside of a kernel.
struct Position {
  dim3 grid_size;
  dim3 block_size;
  uint3 block;
  uint3 thread;
};
const Position& CurrentPosition();

// The block's dynamic shared memory, on 128 bytes; filled with NaN before each block.
unsigned char* SharedMemory();

// __syncthreads, __syncwarp.
void BlockBarrier();
void WarpBarrier();

// Every lane of the warp gives `count` (at most 16) words and gets all lanes' words, [32][count],
// valid until the lane's next call. No lane waits for another's memory: it orders nothing.
const unsigned int* WarpExchange(const unsigned int* words, int count);

// Asynchronous copies of 16 bytes to shared memory, the first `source_bytes` from `source`, the
// rest zero. They happen as late as CUDA allows: when the thread that asked waits for their group.
void AddAsyncCopy(void* to, const void* source, int source_bytes);
void CommitAsyncCopies();
struct AsyncCopy {
  void* to;
  const void* source;
  int source_bytes;
};
// The thread's next copy that must be done for at most `pending_groups` groups to stay open;
// false if there is none.
bool NextAsyncCopy(int pending_groups, AsyncCopy* copy);

// Ends the program with `what` and where the calling thread stands.
[[noreturn]] void Fail(const char* what);

}  // namespace cuda_shim

#endif  // TOME_TESTS_CUDA_SHIM_CUDA_SHIM_H_
