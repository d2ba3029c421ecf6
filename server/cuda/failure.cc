#include "server/cuda/failure.h"

namespace tome::cuda {
namespace {

// An asynchronous fault sticks: every later call fails with it, until the process ends. What is
// over with its call leaves the device able to synchronise.
bool DeviceIsLost() { return cudaDeviceSynchronize() != cudaSuccess; }

Code CodeOf(cudaError_t error) {
  // The error of a call that failed by itself is cleared by reading it; a fault is not.
  static_cast<void>(cudaGetLastError());
  if (DeviceIsLost()) return Code::kDeviceLost;
  if (error == cudaErrorMemoryAllocation) return Code::kOutOfMemory;
  return Code::kFailed;
}

}  // namespace

void Check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  throw Failure(CodeOf(error), std::string(what) + ": " + cudaGetErrorString(error));
}

void Check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const Code code = DeviceIsLost() ? Code::kDeviceLost : Code::kFailed;
  throw Failure(code, std::string(what) + ": cuBLASLt status " + std::to_string(status));
}

void Require(bool holds, const std::string& message) {
  if (!holds) throw Failure(Code::kInvalidArgument, message);
}

}  // namespace tome::cuda
