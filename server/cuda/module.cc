#include "server/cuda/module.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "server/cuda/failure.h"
#include "server/cuda/session.h"

namespace tome::cuda {
namespace {

Code Answer(Code code, const char* text, Message* message) {
  std::snprintf(message->text, sizeof(message->text), "%s", text);
  return code;
}

// The one place where what went wrong becomes a code.
template <typename Body>
Code Guard(Message* message, const Body& body) {
  try {
    body();
    return Answer(Code::kOk, "", message);
  } catch (const Failure& failure) {
    return Answer(failure.code(), failure.what(), message);
  } catch (const std::bad_alloc&) {
    return Answer(Code::kFailed, "the host is out of memory", message);
  } catch (const std::exception& error) {
    return Answer(Code::kFailed, error.what(), message);
  }
}

Code DeviceCount(int32_t* count, Message* message) {
  return Guard(message, [&] {
    *count = 0;
    const cudaError_t error = cudaGetDeviceCount(count);
    // No GPU, or none that this driver can use: an answer, not a fault.
    if (error == cudaErrorNoDevice) {
      static_cast<void>(cudaGetLastError());
      return;
    }
    if (error == cudaErrorInsufficientDriver) {
      throw Failure(Code::kFailed,
                    std::string("this machine has no NVIDIA driver, or one that is too old: ") +
                        cudaGetErrorString(error));
    }
    if (error != cudaSuccess) {
      throw Failure(Code::kFailed, std::string("looking for GPUs: ") + cudaGetErrorString(error));
    }
  });
}

Code Facts(int32_t device, DeviceFacts* facts, Message* message) {
  return Guard(message, [&] {
    Check(cudaSetDevice(device), "choosing the device");
    cudaDeviceProp properties{};
    Check(cudaGetDeviceProperties(&properties, device), "asking for the device's properties");
    std::snprintf(facts->name, sizeof(facts->name), "%s", properties.name);
    facts->major = properties.major;
    facts->minor = properties.minor;
    Check(cudaDeviceGetPCIBusId(facts->bus_id, sizeof(facts->bus_id), device),
          "asking for the device's bus");
    size_t free = 0;
    size_t total = 0;
    Check(cudaMemGetInfo(&free, &total), "asking for free memory");
    facts->total_bytes = total;
    facts->free_bytes = free;
  });
}

Code MemoryOf(const Model* model, const Options* options, Memory* memory, Message* message) {
  return Guard(message, [&] { *memory = Session::MemoryOf(*model, *options); });
}

Code Load(const Model* model, const WeightSource* weights, const Options* options,
          Session** session, Message* message) {
  return Guard(message, [&] { *session = new Session(*model, *weights, *options); });
}

const char* Description(const Session* session) { return session->description().c_str(); }

Code Run(Session* session, const Batch* batch, const Results* results, Message* message) {
  return Guard(message, [&] { session->Run(*batch, *results, nullptr); });
}

Code Profile(Session* session, const Batch* batch, const Results* results, Step* step,
             int32_t capacity, int32_t* steps, Message* message) {
  return Guard(message, [&] {
    std::vector<Step> taken;
    session->Run(*batch, *results, &taken);
    *steps = static_cast<int32_t>(taken.size());
    for (int32_t i = 0; i < std::min(*steps, capacity); ++i) step[i] = taken[i];
  });
}

void ReadStatistics(const Session* session, Statistics* statistics) {
  *statistics = session->statistics();
}

void Unload(Session* session) { delete session; }

constexpr Table kTable = {.version = kModuleVersion,
                          .device_count = DeviceCount,
                          .device_facts = Facts,
                          .memory = MemoryOf,
                          .load = Load,
                          .description = Description,
                          .run = Run,
                          .profile = Profile,
                          .statistics = ReadStatistics,
                          .unload = Unload};

}  // namespace
}  // namespace tome::cuda

const tome::cuda::Table* tome_cuda_module(int version) {
  return version == tome::cuda::kModuleVersion ? &tome::cuda::kTable : nullptr;
}
