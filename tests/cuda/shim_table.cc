#include "tests/cuda/test_table.h"

namespace tome::cuda {

const Table& TestTable() { return *tome_cuda_module(kModuleVersion); }

const char* WhyNoDevice() { return ""; }

}  // namespace tome::cuda
