#include "tests/bench/device_rates.h"

#include <cublasLt.h>
#include <cuda_bf16.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace tome::kernels {
namespace {

constexpr int64_t kElement = 2;

void Check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  std::fprintf(stderr, "%s: cuBLAS status %d\n", what, static_cast<int>(status));
  std::exit(1);
}

}  // namespace

void Check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  std::exit(1);
}
Memory::Memory() {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<__nv_bfloat16> values(size_t{1} << 22);
  for (__nv_bfloat16& value : values) value = __float2bfloat16_rn(normal(random));
  Check(cudaMalloc(&values_, kValues), "cudaMalloc");
  Check(cudaMemcpy(values_, values.data(), kValues, cudaMemcpyHostToDevice), "upload");
}

std::vector<char*> Memory::Buffers(int sets, int64_t bytes) {
  std::vector<char*> buffers(sets);
  for (char*& buffer : buffers) {
    void* pointer = nullptr;
    Check(cudaMalloc(&pointer, bytes), "cudaMalloc");
    buffer = static_cast<char*>(pointer);
    taken_.push_back(pointer);
    for (int64_t at = 0; at < bytes; at += kValues) {
      Check(cudaMemcpy(buffer + at, values_, std::min<int64_t>(kValues, bytes - at),
                       cudaMemcpyDeviceToDevice),
            "fill");
    }
  }
  return buffers;
}

void Memory::Free() {
  for (void* pointer : taken_) Check(cudaFree(pointer), "cudaFree");
  taken_.clear();
}

double Time(int sets, const std::function<void(int)>& launch) {
  constexpr int kRounds = 7;
  constexpr int kCalls = 20;
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  Check(cudaEventCreate(&begin), "event");
  Check(cudaEventCreate(&end), "event");
  std::vector<double> times;
  int set = 0;
  for (int round = -1; round < kRounds; ++round) {  // the first to warm up
    Check(cudaEventRecord(begin), "event");
    for (int call = 0; call < kCalls; ++call) launch(set++ % sets);
    Check(cudaEventRecord(end), "event");
    Check(cudaEventSynchronize(end), "kernel");
    float milliseconds = 0;
    Check(cudaEventElapsedTime(&milliseconds, begin, end), "event");
    if (round >= 0) times.push_back(1e3 * milliseconds / kCalls);
  }
  Check(cudaEventDestroy(begin), "event");
  Check(cudaEventDestroy(end), "event");
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

double MeasureBandwidth(Memory& memory) {
  const int64_t bytes = int64_t{512} << 20;
  const std::vector<char*> buffers = memory.Buffers(2, bytes);
  const double time = Time(1, [&](int) {
    Check(cudaMemcpyAsync(buffers[1], buffers[0], bytes, cudaMemcpyDeviceToDevice), "copy");
  });
  memory.Free();
  return 2.0 * static_cast<double>(bytes) / time;
}

double MeasureProduct(Memory& memory, int rows, int inputs, int outputs) {
  const char* a = memory.Buffers(1, int64_t{1} * rows * inputs * kElement)[0];
  const char* b = memory.Buffers(1, int64_t{1} * outputs * inputs * kElement)[0];
  char* c = memory.Buffers(1, int64_t{1} * rows * outputs * kElement)[0];
  const size_t workspace_bytes = size_t{32} << 20;
  char* workspace = memory.Buffers(1, static_cast<int64_t>(workspace_bytes))[0];
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t layouts[3];
  cublasLtMatmulPreference_t preference = nullptr;
  Check(cublasLtCreate(&handle), "cublasLtCreate");
  Check(cublasLtMatmulDescCreate(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "product");
  const cublasOperation_t transposed = CUBLAS_OP_T;
  Check(cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                       sizeof(transposed)),
        "product");
  Check(cublasLtMatrixLayoutCreate(&layouts[0], CUDA_R_16BF, inputs, outputs, inputs), "layout");
  Check(cublasLtMatrixLayoutCreate(&layouts[1], CUDA_R_16BF, inputs, rows, inputs), "layout");
  Check(cublasLtMatrixLayoutCreate(&layouts[2], CUDA_R_16BF, outputs, rows, outputs), "layout");
  Check(cublasLtMatmulPreferenceCreate(&preference), "preference");
  Check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &workspace_bytes, sizeof(workspace_bytes)),
        "preference");
  cublasLtMatmulHeuristicResult_t algorithm = {};
  int found = 0;
  Check(cublasLtMatmulAlgoGetHeuristic(handle, product, layouts[0], layouts[1], layouts[2],
                                       layouts[2], preference, 1, &algorithm, &found),
        "algorithm");
  const float one = 1;
  const float zero = 0;
  const double time = Time(1, [&](int) {
    Check(cublasLtMatmul(handle, product, &one, b, layouts[0], a, layouts[1], &zero, c, layouts[2],
                         c, layouts[2], &algorithm.algo, workspace, workspace_bytes, nullptr),
          "product");
  });
  cublasLtMatmulPreferenceDestroy(preference);
  for (cublasLtMatrixLayout_t layout : layouts) cublasLtMatrixLayoutDestroy(layout);
  cublasLtMatmulDescDestroy(product);
  cublasLtDestroy(handle);
  memory.Free();
  return 2.0 * rows * inputs * outputs / time;
}

}  // namespace tome::kernels
