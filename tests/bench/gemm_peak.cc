#include "tests/bench/gemm_peak.h"

#include <cublasLt.h>
#include <cuda_bf16.h>

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "server/cuda/failure.h"
#include "server/cuda/handles.h"

namespace tome::bench {
namespace {

using cuda::Check;

constexpr size_t kWorkspaceBytes = size_t{64} << 20;
constexpr int kProposals = 16;
constexpr int kRepeats = 10;

// Random bfloat16 values on the device.
cuda::DeviceMemory RandomMatrix(size_t elements) {
  cuda::DeviceMemory memory = cuda::AllocateDevice(elements * sizeof(__nv_bfloat16));
  std::vector<__nv_bfloat16> values(elements);
  uint32_t state = 12345;
  for (__nv_bfloat16& value : values) {
    state = state * 1664525u + 1013904223u;
    value = __float2bfloat16_rn(static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f);
  }
  Check(cudaMemcpy(memory.get(), values.data(), elements * sizeof(__nv_bfloat16),
                   cudaMemcpyHostToDevice),
        "copying a matrix");
  return memory;
}

// Seconds of one product rows x inputs by outputs x inputs, with the fastest algorithm.
double FastestProduct(cublasLtHandle_t handle, int rows, int outputs, int inputs) {
  const cuda::DeviceMemory weight = RandomMatrix(size_t(outputs) * inputs);
  const cuda::DeviceMemory x = RandomMatrix(size_t(rows) * inputs);
  const cuda::DeviceMemory y = RandomMatrix(size_t(rows) * outputs);
  const cuda::DeviceMemory bias = RandomMatrix(outputs);
  const cuda::DeviceMemory workspace = cuda::AllocateDevice(kWorkspaceBytes);
  cublasLtMatmulDesc_t description = nullptr;
  cublasLtMatrixLayout_t weight_layout = nullptr;
  cublasLtMatrixLayout_t x_layout = nullptr;
  cublasLtMatrixLayout_t y_layout = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  const cublasOperation_t transpose = CUBLAS_OP_T;
  const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
  const void* const bias_pointer = bias.get();
  Check(cublasLtMatmulDescCreate(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F), "a product");
  Check(cublasLtMatmulDescSetAttribute(description, CUBLASLT_MATMUL_DESC_TRANSA, &transpose,
                                       sizeof(transpose)),
        "a product");
  Check(cublasLtMatmulDescSetAttribute(description, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                       sizeof(epilogue)),
        "a product");
  Check(cublasLtMatmulDescSetAttribute(description, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                       &bias_pointer, sizeof(bias_pointer)),
        "a product");
  Check(cublasLtMatrixLayoutCreate(&weight_layout, CUDA_R_16BF, inputs, outputs, inputs),
        "a matrix");
  Check(cublasLtMatrixLayoutCreate(&x_layout, CUDA_R_16BF, inputs, rows, inputs), "a matrix");
  Check(cublasLtMatrixLayoutCreate(&y_layout, CUDA_R_16BF, outputs, rows, outputs), "a matrix");
  Check(cublasLtMatmulPreferenceCreate(&preference), "a preference");
  Check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &kWorkspaceBytes, sizeof(kWorkspaceBytes)),
        "a preference");
  std::array<cublasLtMatmulHeuristicResult_t, kProposals> proposed{};
  int count = 0;
  Check(cublasLtMatmulAlgoGetHeuristic(handle, description, weight_layout, x_layout, y_layout,
                                       y_layout, preference, kProposals, proposed.data(), &count),
        "asking for algorithms");

  const cuda::Stream stream = cuda::MakeStream();
  const cuda::Event begin = cuda::MakeEvent();
  const cuda::Event end = cuda::MakeEvent();
  const float one = 1;
  const float zero = 0;
  double fastest = std::numeric_limits<double>::infinity();
  for (int i = 0; i < count; ++i) {
    const auto run = [&] {
      Check(cublasLtMatmul(handle, description, &one, weight.get(), weight_layout, x.get(),
                           x_layout, &zero, y.get(), y_layout, y.get(), y_layout, &proposed[i].algo,
                           workspace.get(), kWorkspaceBytes, stream.get()),
            "a product");
    };
    for (int warm_up = 0; warm_up < 2; ++warm_up) run();
    Check(cudaEventRecord(begin.get(), stream.get()), "timing");
    for (int repeat = 0; repeat < kRepeats; ++repeat) run();
    Check(cudaEventRecord(end.get(), stream.get()), "timing");
    Check(cudaStreamSynchronize(stream.get()), "a product");
    float milliseconds = 0;
    Check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "timing");
    fastest = std::min(fastest, milliseconds / 1000.0 / kRepeats);
  }
  cublasLtMatmulPreferenceDestroy(preference);
  cublasLtMatrixLayoutDestroy(y_layout);
  cublasLtMatrixLayoutDestroy(x_layout);
  cublasLtMatrixLayoutDestroy(weight_layout);
  cublasLtMatmulDescDestroy(description);
  return fastest;
}

}  // namespace

double GemmPeak(const cuda::Model& model, int rows) {
  cublasLtHandle_t handle = nullptr;
  Check(cublasLtCreate(&handle), "opening cuBLASLt");
  const int d = model.token_dim;
  const int hidden = model.mlp_hidden_dim;
  const double seconds =
      FastestProduct(handle, rows, 3 * d, d) + FastestProduct(handle, rows, d, d) +
      FastestProduct(handle, rows, hidden, d) + FastestProduct(handle, rows, d, hidden);
  cublasLtDestroy(handle);
  const double flops = 2.0 * rows * d * (3.0 * d + d + 2.0 * hidden);
  return flops / seconds;
}

}  // namespace tome::bench
