// cuBLASLt's functions on host memory.

#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_shim.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

struct cublasLtContext {};
struct cublasLtMatmulDescOpaque {
  int transpose_a = CUBLAS_OP_N;
  uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
};
struct cublasLtMatrixLayoutOpaque {
  cudaDataType_t type;
  uint64_t rows;
  uint64_t columns;
  int64_t stride;
};
struct cublasLtMatmulPreferenceOpaque {
  size_t workspace_bytes = 0;
  uint32_t reduction_schemes = ~0u;
};

namespace {

// What an algorithm's data says: its number here, and into how many parts it splits a sum.
struct Algorithm {
  int32_t id;
  int32_t split;
  size_t workspace_bytes;
};
constexpr std::array<Algorithm, 3> kProposed = {
    {{.id = 1, .split = 4, .workspace_bytes = 0},  // its parts meet in place
     {.id = 2, .split = 2, .workspace_bytes = 4096},
     {.id = 3, .split = 1, .workspace_bytes = 0}}};

const Algorithm& AlgorithmOf(const cublasLtMatmulAlgo_t& algo) {
  const uint64_t id = algo.data[0];
  if (id < 1 || id > kProposed.size()) cuda_shim::Fail("cuBLASLt: no such algorithm");
  return kProposed[id - 1];
}

cublasLtMatmulHeuristicResult_t ResultOf(const Algorithm& algorithm) {
  cublasLtMatmulHeuristicResult_t result{};
  result.algo.data[0] = static_cast<uint64_t>(algorithm.id);
  result.workspaceSize = algorithm.workspace_bytes;
  result.state = CUBLAS_STATUS_SUCCESS;
  return result;
}

float Read(const void* values, cudaDataType_t type, int64_t index) {
  switch (type) {
    case CUDA_R_16F:
      return __half2float(static_cast<const __half*>(values)[index]);
    case CUDA_R_16BF:
      return __bfloat162float(static_cast<const __nv_bfloat16*>(values)[index]);
    case CUDA_R_32F:
      break;
  }
  return static_cast<const float*>(values)[index];
}

void Write(void* values, cudaDataType_t type, int64_t index, float value) {
  switch (type) {
    case CUDA_R_16F:
      static_cast<__half*>(values)[index] = __float2half_rn(value);
      return;
    case CUDA_R_16BF:
      static_cast<__nv_bfloat16*>(values)[index] = __float2bfloat16_rn(value);
      return;
    case CUDA_R_32F:
      break;
  }
  static_cast<float*>(values)[index] = value;
}

float GeluTanh(float x) {
  return 0.5f * x * (1.0f + std::tanh(0.7978845608f * (x + 0.044715f * x * x * x)));
}

bool StartsOn16Bytes(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

// A product, with all that it needs when it is done later, in a graph.
struct Product {
  cublasLtMatmulDescOpaque description;
  cublasLtMatrixLayoutOpaque a_layout, b_layout, d_layout;
  const void* a;
  const void* b;
  const void* c;
  void* d;
  float alpha;
  float beta;
  int split;

  std::vector<float> Column(const void* matrix, const cublasLtMatrixLayoutOpaque& layout,
                            uint64_t column) const {
    std::vector<float> values(layout.rows);
    for (uint64_t i = 0; i < layout.rows; ++i) {
      values[i] = Read(matrix, layout.type,
                       static_cast<int64_t>(column) * layout.stride + static_cast<int64_t>(i));
    }
    return values;
  }

  // Of a split sum each part is summed by itself.
  float Sum(const std::vector<float>& x, const std::vector<float>& y) const {
    float sum = 0;
    const size_t part = (x.size() + split - 1) / split;
    for (size_t begin = 0; begin < x.size(); begin += part) {
      float partial = 0;
      for (size_t i = begin; i < std::min(begin + part, x.size()); ++i) partial += x[i] * y[i];
      sum += partial;
    }
    return sum;
  }

  void Run() const {
    const bool adds_bias = (description.epilogue & CUBLASLT_EPILOGUE_BIAS) != 0;
    const bool is_gelu = (description.epilogue & CUBLASLT_EPILOGUE_GELU) != 0;
    std::vector<std::vector<float>> weight;
    for (uint64_t i = 0; i < a_layout.columns; ++i) weight.push_back(Column(a, a_layout, i));
    for (uint64_t column = 0; column < d_layout.columns; ++column) {
      const std::vector<float> x = Column(b, b_layout, column);
      for (uint64_t row = 0; row < d_layout.rows; ++row) {
        const int64_t at = static_cast<int64_t>(column) * d_layout.stride + row;
        float value = alpha * Sum(weight[row], x);
        if (beta != 0) value += beta * Read(c, d_layout.type, at);
        if (adds_bias) value += Read(description.bias, d_layout.type, row);
        Write(d, d_layout.type, at, is_gelu ? GeluTanh(value) : value);
      }
    }
  }
};

}  // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description, cublasComputeType_t,
                                        cudaDataType_t) {
  *description = new cublasLtMatmulDescOpaque;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  delete description;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      std::memcpy(&description->transpose_a, value, bytes);
      break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      std::memcpy(&description->epilogue, value, bytes);
      break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      std::memcpy(&description->bias, value, bytes);
      break;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type,
                                          uint64_t rows, uint64_t columns, int64_t stride) {
  *layout = new cublasLtMatrixLayoutOpaque{type, rows, columns, stride};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
    std::memcpy(&preference->workspace_bytes, value, bytes);
  } else {
    std::memcpy(&preference->reduction_schemes, value, bytes);
  }
  return CUBLAS_STATUS_SUCCESS;
}

// The preference is a hint that the caller must not rely on: all are proposed.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int wanted,
                                              cublasLtMatmulHeuristicResult_t* results,
                                              int* count) {
  *count = 0;
  for (const Algorithm& algorithm : kProposed) {
    if (*count < wanted) results[(*count)++] = ResultOf(algorithm);
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t,
                                       cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                       cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                       const cublasLtMatmulAlgo_t* algo,
                                       cublasLtMatmulHeuristicResult_t* result) {
  *result = ResultOf(AlgorithmOf(*algo));
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute,
                                                    void* value, size_t bytes, size_t* written) {
  const Algorithm& algorithm = AlgorithmOf(*algo);
  int32_t answer = 0;
  if (attribute == CUBLASLT_ALGO_CONFIG_ID) answer = algorithm.id;
  if (attribute == CUBLASLT_ALGO_CONFIG_SPLITK_NUM) answer = algorithm.split;
  if (attribute == CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME) {
    answer =
        algorithm.split > 1 ? CUBLASLT_REDUCTION_SCHEME_INPLACE : CUBLASLT_REDUCTION_SCHEME_NONE;
  }
  if (bytes > sizeof(answer)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(value, &answer, bytes);
  *written = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t description, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algo, void*, size_t workspace_bytes,
                              cudaStream_t stream) {
  const Algorithm& algorithm = AlgorithmOf(*algo);
  if (description->transpose_a != CUBLAS_OP_T || a_layout->rows != b_layout->rows ||
      a_layout->columns != d_layout->rows || b_layout->columns != d_layout->columns ||
      workspace_bytes < algorithm.workspace_bytes || !StartsOn16Bytes(a) || !StartsOn16Bytes(b) ||
      !StartsOn16Bytes(c) || !StartsOn16Bytes(d)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const Product product{.description = *description,
                        .a_layout = *a_layout,
                        .b_layout = *b_layout,
                        .d_layout = *d_layout,
                        .a = a,
                        .b = b,
                        .c = c,
                        .d = d,
                        .alpha = *static_cast<const float*>(alpha),
                        .beta = *static_cast<const float*>(beta),
                        .split = algorithm.split};
  const cudaError_t error = cuda_shim::Enqueue(stream, [product] {
    product.Run();
    return cudaSuccess;
  });
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
