#include "server/cuda/linear.h"

#include <array>
#include <cstdint>

#include "server/cuda/failure.h"

namespace tome::cuda {
namespace {

using kernels::ElementType;

cudaDataType_t DataType(ElementType type) {
  switch (type) {
    case ElementType::kFloat32:
      return CUDA_R_32F;
    case ElementType::kFloat16:
      return CUDA_R_16F;
    case ElementType::kBFloat16:
      return CUDA_R_16BF;
  }
  return CUDA_R_32F;
}

struct LayoutDeleter {
  void operator()(cublasLtMatrixLayout_t layout) const { cublasLtMatrixLayoutDestroy(layout); }
};
using Layout = std::unique_ptr<std::remove_pointer_t<cublasLtMatrixLayout_t>, LayoutDeleter>;

// A row-major [rows, columns] matrix is a column-major [columns, rows] one to cuBLASLt.
Layout MakeLayout(ElementType type, int rows, int columns) {
  cublasLtMatrixLayout_t layout = nullptr;
  Check(cublasLtMatrixLayoutCreate(&layout, DataType(type), columns, rows, columns),
        "describing a matrix");
  return Layout(layout);
}

// y^T = W x^T, all of them column-major.
struct Layouts {
  Layouts(const LinearShape& shape, int rows)
      : weight(MakeLayout(shape.type, shape.outputs, shape.inputs)),
        x(MakeLayout(shape.type, rows, shape.inputs)),
        y(MakeLayout(shape.type, rows, shape.outputs)) {}

  Layout weight;
  Layout x;
  Layout y;
};

template <typename Value>
void Set(cublasLtMatmulDesc_t description, cublasLtMatmulDescAttributes_t attribute,
         const Value& value) {
  Check(cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof(value)),
        "describing a product");
}

template <typename Value>
Value Config(const cublasLtMatmulAlgo_t& algorithm,
             cublasLtMatmulAlgoConfigAttributes_t attribute) {
  Value value{};
  size_t written = 0;
  Check(
      cublasLtMatmulAlgoConfigGetAttribute(&algorithm, attribute, &value, sizeof(value), &written),
      "reading an algorithm");
  return value;
}

bool SplitsNoSum(const cublasLtMatmulHeuristicResult_t& result) {
  return Config<int32_t>(result.algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM) <= 1 &&
         Config<uint32_t>(result.algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME) ==
             CUBLASLT_REDUCTION_SCHEME_NONE &&
         result.workspaceSize == 0;
}

bool Takes(cublasLtHandle_t handle, cublasLtMatmulDesc_t description, const LinearShape& shape,
           int rows, const cublasLtMatmulAlgo_t& algorithm) {
  const Layouts layouts(shape, rows);
  cublasLtMatmulHeuristicResult_t result{};
  return cublasLtMatmulAlgoCheck(handle, description, layouts.weight.get(), layouts.x.get(),
                                 layouts.y.get(), layouts.y.get(), &algorithm,
                                 &result) == CUBLAS_STATUS_SUCCESS &&
         result.workspaceSize == 0;
}

struct PreferenceDeleter {
  void operator()(cublasLtMatmulPreference_t preference) const {
    cublasLtMatmulPreferenceDestroy(preference);
  }
};

std::string ShapeName(const LinearShape& shape) {
  return std::to_string(shape.inputs) + " -> " + std::to_string(shape.outputs) +
         (shape.epilogue == LinearEpilogue::kGeluTanh ? ", tanh GELU" : "") +
         (shape.adds_to_output ? ", adds" : "");
}

}  // namespace

LinearAlgorithms::LinearAlgorithms() {
  cublasLtHandle_t handle = nullptr;
  Check(cublasLtCreate(&handle), "opening cuBLASLt");
  handle_.reset(handle);
}

const cublasLtMatmulAlgo_t& LinearAlgorithms::Find(const LinearShape& shape,
                                                   cublasLtMatmulDesc_t description) {
  const auto known = algorithms_.find(shape);
  if (known != algorithms_.end()) return known->second;

  cublasLtMatmulPreference_t created = nullptr;
  Check(cublasLtMatmulPreferenceCreate(&created), "describing a preference");
  const std::unique_ptr<std::remove_pointer_t<cublasLtMatmulPreference_t>, PreferenceDeleter>
      preference(created);
  const size_t no_workspace = 0;
  const uint32_t no_reduction = CUBLASLT_REDUCTION_SCHEME_NONE;
  Check(cublasLtMatmulPreferenceSetAttribute(created, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &no_workspace, sizeof(no_workspace)),
        "describing a preference");
  Check(cublasLtMatmulPreferenceSetAttribute(created, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                             &no_reduction, sizeof(no_reduction)),
        "describing a preference");

  const Layouts layouts(shape, kTypicalRows);
  std::array<cublasLtMatmulHeuristicResult_t, 32> proposed{};
  int count = 0;
  Check(cublasLtMatmulAlgoGetHeuristic(handle(), description, layouts.weight.get(), layouts.x.get(),
                                       layouts.y.get(), layouts.y.get(), created,
                                       static_cast<int>(proposed.size()), proposed.data(), &count),
        "asking cuBLASLt for algorithms");
  for (int i = 0; i < count; ++i) {
    if (proposed[i].state != CUBLAS_STATUS_SUCCESS || !SplitsNoSum(proposed[i])) continue;
    if (!Takes(handle(), description, shape, 1, proposed[i].algo)) continue;
    if (!Takes(handle(), description, shape, kMostRows, proposed[i].algo)) continue;
    return algorithms_.emplace(shape, proposed[i].algo).first->second;
  }
  throw Failure(
      Code::kInvalidArgument,
      "cuBLASLt has no algorithm without split sums for the linear layer " + ShapeName(shape));
}

std::string LinearAlgorithms::Describe() const {
  std::string lines;
  for (const auto& [shape, algorithm] : algorithms_) {
    lines +=
        "linear " + ShapeName(shape) + ": algorithm " +
        std::to_string(Config<int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_ID)) + ", tile " +
        std::to_string(Config<uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_TILE_ID)) + ", stages " +
        std::to_string(Config<uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_STAGES_ID)) + ", cluster " +
        std::to_string(Config<uint16_t>(algorithm, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID)) +
        ", split-K " + std::to_string(Config<int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM)) +
        "\n";
  }
  return lines;
}

LinearLayer::LinearLayer(LinearAlgorithms& algorithms, const LinearShape& shape, const void* weight,
                         const void* bias)
    : shape_(shape), weight_(weight), algorithms_(&algorithms) {
  cublasLtMatmulDesc_t description = nullptr;
  // COMPUTE_32F: float32 sums, and for float32 inputs no TF32.
  Check(cublasLtMatmulDescCreate(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "describing a product");
  description_.reset(description);
  Set(description, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  Set(description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  Set(description, CUBLASLT_MATMUL_DESC_EPILOGUE,
      shape.epilogue == LinearEpilogue::kGeluTanh ? CUBLASLT_EPILOGUE_GELU_BIAS
                                                  : CUBLASLT_EPILOGUE_BIAS);
  algorithm_ = &algorithms.Find(shape, description);
}

void LinearLayer::Run(const void* x, void* y, int rows, cudaStream_t stream) {
  const float one = 1.0f;
  const float added = shape_.adds_to_output ? 1.0f : 0.0f;
  const Layouts layouts(shape_, rows);
  Check(cublasLtMatmul(algorithms_->handle(), description_.get(), &one, weight_,
                       layouts.weight.get(), x, layouts.x.get(), &added, y, layouts.y.get(), y,
                       layouts.y.get(), algorithm_, nullptr, 0, stream),
        "a linear layer");
}

}  // namespace tome::cuda
