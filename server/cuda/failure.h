#ifndef TOME_SERVER_CUDA_FAILURE_H_
#define TOME_SERVER_CUDA_FAILURE_H_

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

#include "server/cuda/module.h"

namespace tome::cuda {

// What goes wrong inside the module is thrown, and becomes a Code in module.cc alone.
class Failure : public std::runtime_error {
 public:
  Failure(Code code, const std::string& message) : std::runtime_error(message), code_(code) {}
  Code code() const { return code_; }

 private:
  Code code_;
};

// Throws unless `error` is cudaSuccess, with the code it maps to; `what` names the step.
void Check(cudaError_t error, const char* what);
void Check(cublasStatus_t status, const char* what);

// Throws kInvalidArgument with the message unless it holds.
void Require(bool holds, const std::string& message);

}  // namespace tome::cuda

#endif  // TOME_SERVER_CUDA_FAILURE_H_
