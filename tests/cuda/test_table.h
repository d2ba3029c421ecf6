#ifndef TOME_TESTS_CUDA_TEST_TABLE_H_
#define TOME_TESTS_CUDA_TEST_TABLE_H_

#include "server/cuda/module.h"

namespace tome::cuda {

// The module under test: linked in on the host shim (shim_table.cc), or libtome_cuda.so beside the
// test program (gpu_table.cc).
const Table& TestTable();

// Why there is nothing to test on, such as no GPU; empty if there is.
const char* WhyNoDevice();

}  // namespace tome::cuda

#endif  // TOME_TESTS_CUDA_TEST_TABLE_H_
