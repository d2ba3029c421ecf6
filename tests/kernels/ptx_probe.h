#ifndef TOME_TESTS_KERNELS_PTX_PROBE_H_
#define TOME_TESTS_KERNELS_PTX_PROBE_H_

#include <cuda_runtime_api.h>

#include "server/kernels/element_type.h"

namespace tome::kernels {

// One warp's use of server/kernels/ptx.cuh, so that a test can hold the instructions, and what the
// host shim makes of them, against plain products.
struct PtxProbeArgs {
  ElementType type = ElementType::kFloat16;  // a half type
  const void* a = nullptr;                   // T [16, 16]
  const void* b = nullptr;                   // T [16 columns, 16], each column of B a row
  const void* b_rows = nullptr;              // T [16, 16 columns], the same B row by row
  float* product = nullptr;                  // [16, 16] a times b, by ldmatrix
  float* product_transposed = nullptr;       // [16, 16] a times b_rows, by ldmatrix.trans
  int valid_bytes = 16;  // of each 16 that cp.async copies of a; the rest must become zero
};
cudaError_t ProbePtx(const PtxProbeArgs& args, cudaStream_t stream);

}  // namespace tome::kernels

#endif  // TOME_TESTS_KERNELS_PTX_PROBE_H_
