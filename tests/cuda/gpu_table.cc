#include <cstdio>
#include <cstdlib>

#include "server/engine/cuda_module.h"
#include "tests/cuda/test_table.h"

namespace tome::cuda {

const Table& TestTable() {
  static const Table* const table = [] {
    const absl::StatusOr<const Table*> opened = OpenCudaModule(CudaModuleBesideProgram());
    if (!opened.ok()) {
      std::fprintf(stderr, "%s\n", opened.status().ToString().c_str());
      std::abort();
    }
    return *opened;
  }();
  return *table;
}

const char* WhyNoDevice() {
  int32_t count = 0;
  static Message message;
  if (TestTable().device_count(&count, &message) != Code::kOk) return message.text;
  return count > 0 ? "" : "no CUDA device";
}

}  // namespace tome::cuda
