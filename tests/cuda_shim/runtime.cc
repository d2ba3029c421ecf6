// CUDA's runtime functions on host memory.

#include <cuda_runtime_api.h>
#include <cuda_shim.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace cuda_shim {

// block.cc's.
void RunGrid(dim3 grid, dim3 block_size, size_t shared_bytes, const std::function<void()>& thread);
cudaError_t AllowSharedMemory(const void* kernel, size_t bytes);

namespace {

using Work = std::vector<std::function<cudaError_t()>>;

constexpr size_t kSharedMemoryUnasked = 48 * 1024;

struct Runtime {
  std::mutex mutex;
  Device device;
  std::function<cudaError_t(int device)> failing;  // empty: none is
  std::map<void*, size_t> allocations;
  size_t allocated = 0;
  std::map<const void*, size_t> shared_memory;  // what each kernel may ask for
};

Runtime& TheRuntime() {
  static auto* runtime = new Runtime;
  return *runtime;
}

thread_local cudaError_t last_error = cudaSuccess;
thread_local int current_device = 0;

cudaError_t Remember(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

cudaError_t Failing() {
  Runtime& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  return runtime.failing ? runtime.failing(current_device) : cudaSuccess;
}

Device TheDevice() {
  Runtime& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  return runtime.device;
}

cudaError_t Allocate(void** pointer, size_t bytes, bool on_device) {
  if (pointer == nullptr) return Remember(cudaErrorInvalidValue);
  *pointer = nullptr;
  if (Failing() != cudaSuccess) return Remember(Failing());
  if (bytes == 0) return cudaSuccess;
  Runtime& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  if (on_device && runtime.allocated + bytes > runtime.device.memory) {
    return Remember(cudaErrorMemoryAllocation);
  }
  if (posix_memalign(pointer, 256, bytes) != 0) return Remember(cudaErrorMemoryAllocation);
  std::memset(*pointer, 0xff, bytes);
  if (on_device) {
    runtime.allocations[*pointer] = bytes;
    runtime.allocated += bytes;
  }
  return cudaSuccess;
}

}  // namespace

void SetDevice(const Device& device) {
  Runtime& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  runtime.device = device;
}

void FailCalls(cudaError_t error) {
  FailCallsOf([error](int) { return error; });
}

void FailCallsOf(std::function<cudaError_t(int device)> failing) {
  Runtime& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  runtime.failing = std::move(failing);
}

cudaError_t AllowSharedMemory(const void* kernel, size_t bytes) {
  Runtime& runtime = TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  if (bytes > runtime.device.shared_memory_per_block) return Remember(cudaErrorInvalidValue);
  runtime.shared_memory[kernel] = bytes;
  return cudaSuccess;
}

cudaError_t LaunchGrid(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes,
                       const std::function<void()>& thread) {
  size_t allowed = kSharedMemoryUnasked;
  {
    Runtime& runtime = TheRuntime();
    const std::lock_guard lock(runtime.mutex);
    const auto asked = runtime.shared_memory.find(kernel);
    if (asked != runtime.shared_memory.end()) allowed = std::max(allowed, asked->second);
  }
  const size_t threads = size_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64) return cudaErrorInvalidConfiguration;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 ||
      grid.z > 65535) {
    return cudaErrorInvalidConfiguration;
  }
  if (shared_bytes > allowed) return cudaErrorInvalidValue;
  RunGrid(grid, block, shared_bytes, thread);
  return cudaSuccess;
}

}  // namespace cuda_shim

// What a stream is being captured into; shared with the events recorded meanwhile, which carry the
// capture to the streams that wait for them.
struct CUgraph_st {
  cuda_shim::Work work;
};
struct CUgraphExec_st {
  cuda_shim::Work work;
};
struct CUstream_st {
  std::shared_ptr<CUgraph_st> capture;
};
struct CUevent_st {
  std::shared_ptr<CUgraph_st> capture;
  std::chrono::steady_clock::time_point time;
  bool recorded = false;
};

namespace cuda_shim {

cudaError_t Enqueue(cudaStream_t stream, std::function<cudaError_t()> work) {
  if (Failing() != cudaSuccess) return Remember(Failing());
  if (stream != nullptr && stream->capture != nullptr) {
    stream->capture->work.push_back(std::move(work));
    return cudaSuccess;
  }
  return Remember(work());
}

}  // namespace cuda_shim

using cuda_shim::Failing;
using cuda_shim::Remember;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    default:
      return "an error that the shim has no name for";
  }
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }
cudaError_t cudaGetLastError() { return std::exchange(cuda_shim::last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return cuda_shim::last_error; }

cudaError_t cudaGetDeviceCount(int* count) {
  if (!cuda_shim::TheDevice().driver) return Remember(cudaErrorInsufficientDriver);
  *count = cuda_shim::TheDevice().count;
  return *count > 0 ? cudaSuccess : Remember(cudaErrorNoDevice);
}
cudaError_t cudaGetDevice(int* device) {
  *device = cuda_shim::current_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= cuda_shim::TheDevice().count) return Remember(cudaErrorInvalidDevice);
  cuda_shim::current_device = device;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  const cuda_shim::Device facts = cuda_shim::TheDevice();
  if (device < 0 || device >= facts.count) return Remember(cudaErrorInvalidDevice);
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = facts.multiprocessors;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = facts.compute_capability_major;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = facts.compute_capability_minor;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(facts.shared_memory_per_block);
      return cudaSuccess;
  }
  return Remember(cudaErrorInvalidValue);
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const cuda_shim::Device facts = cuda_shim::TheDevice();
  if (device < 0 || device >= facts.count) return Remember(cudaErrorInvalidDevice);
  *properties = {.name = "host shim",
                 .major = facts.compute_capability_major,
                 .minor = facts.compute_capability_minor};
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* bus_id, int length, int device) {
  if (device < 0 || device >= cuda_shim::TheDevice().count) return Remember(cudaErrorInvalidDevice);
  std::snprintf(bus_id, static_cast<size_t>(length), "0000:%02x:00.0", device + 1);
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() { return Remember(Failing()); }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  cuda_shim::Runtime& runtime = cuda_shim::TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  *total = runtime.device.memory;
  *free = runtime.device.memory - std::min(runtime.device.memory, runtime.allocated);
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  return cuda_shim::Allocate(pointer, bytes, true);
}
cudaError_t cudaFree(void* pointer) {
  if (pointer == nullptr) return cudaSuccess;
  cuda_shim::Runtime& runtime = cuda_shim::TheRuntime();
  const std::lock_guard lock(runtime.mutex);
  const auto found = runtime.allocations.find(pointer);
  if (found == runtime.allocations.end()) return Remember(cudaErrorInvalidValue);
  runtime.allocated -= found->second;
  runtime.allocations.erase(found);
  std::free(pointer);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned int) {
  return cuda_shim::Allocate(pointer, bytes, false);
}
cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  return cuda_shim::Allocate(pointer, bytes, false);
}
cudaError_t cudaFreeHost(void* pointer) {
  std::free(pointer);
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  return cuda_shim::Enqueue(stream, [=] {
    if (bytes > 0) std::memmove(to, from, bytes);
    return cudaSuccess;
  });
}
cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  return cudaMemsetAsync(to, value, bytes, nullptr);
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return cuda_shim::Enqueue(stream, [=] {
    if (bytes > 0) std::memset(to, value, bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int) {
  if (Failing() != cudaSuccess) return Remember(Failing());
  *stream = new CUstream_st;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream != nullptr && stream->capture != nullptr) {
    return Remember(cudaErrorStreamCaptureUnsupported);
  }
  return Remember(Failing());
}
cudaError_t cudaStreamQuery(cudaStream_t stream) { return cudaStreamSynchronize(stream); }
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int) {
  if (stream != nullptr && event->capture != nullptr) stream->capture = event->capture;
  return Remember(Failing());
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int) {
  if (Failing() != cudaSuccess) return Remember(Failing());
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (Failing() != cudaSuccess) return Remember(Failing());
  event->capture = stream != nullptr ? stream->capture : nullptr;
  event->time = std::chrono::steady_clock::now();
  event->recorded = true;
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return Remember(Failing()); }
cudaError_t cudaEventQuery(cudaEvent_t) { return Remember(Failing()); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  if (!from->recorded || !to->recorded) return Remember(cudaErrorInvalidValue);
  *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
  return Remember(Failing());
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream == nullptr || stream->capture != nullptr) {
    return Remember(cudaErrorStreamCaptureUnsupported);
  }
  stream->capture = std::make_shared<CUgraph_st>();
  return Remember(Failing());
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (stream == nullptr || stream->capture == nullptr) return Remember(cudaErrorInvalidValue);
  *graph = new CUgraph_st{std::move(stream->capture->work)};
  stream->capture = nullptr;
  return Remember(Failing());
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  if (Failing() != cudaSuccess) return Remember(Failing());
  *executable = new CUgraphExec_st{graph->work};
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  return cuda_shim::Enqueue(stream, [executable] {
    for (const auto& work : executable->work) {
      const cudaError_t error = work();
      if (error != cudaSuccess) return error;
    }
    return cudaSuccess;
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
