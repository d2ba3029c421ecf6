#include "server/cuda/linear.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <array>
#include <cstdint>
#include <random>
#include <vector>

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

bool SplitsNoSum(const cublasLtMatmulAlgo_t& algorithm) {
  return Config<int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM) <= 1 &&
         Config<uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME) ==
             CUBLASLT_REDUCTION_SCHEME_NONE;
}

bool Takes(cublasLtHandle_t handle, cublasLtMatmulDesc_t description, const LinearShape& shape,
           int rows, const cublasLtMatmulAlgo_t& algorithm) {
  const Layouts layouts(shape, rows);
  cublasLtMatmulHeuristicResult_t result{};
  return cublasLtMatmulAlgoCheck(handle, description, layouts.weight.get(), layouts.x.get(),
                                 layouts.y.get(), layouts.y.get(), &algorithm,
                                 &result) == CUBLAS_STATUS_SUCCESS &&
         result.workspaceSize <= LinearAlgorithms::kWorkspaceBytes;
}

struct PreferenceDeleter {
  void operator()(cublasLtMatmulPreference_t preference) const {
    cublasLtMatmulPreferenceDestroy(preference);
  }
};

// The first proposed for so many rows that the rule allows.
std::optional<cublasLtMatmulAlgo_t> FirstAllowed(cublasLtHandle_t handle,
                                                 cublasLtMatmulDesc_t description,
                                                 const LinearShape& shape, int rows) {
  cublasLtMatmulPreference_t created = nullptr;
  Check(cublasLtMatmulPreferenceCreate(&created), "describing a preference");
  const std::unique_ptr<std::remove_pointer_t<cublasLtMatmulPreference_t>, PreferenceDeleter>
      preference(created);
  const size_t workspace = LinearAlgorithms::kWorkspaceBytes;
  const uint32_t no_reduction = CUBLASLT_REDUCTION_SCHEME_NONE;
  Check(cublasLtMatmulPreferenceSetAttribute(created, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &workspace, sizeof(workspace)),
        "describing a preference");
  Check(cublasLtMatmulPreferenceSetAttribute(created, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                             &no_reduction, sizeof(no_reduction)),
        "describing a preference");
  const Layouts layouts(shape, rows);
  std::array<cublasLtMatmulHeuristicResult_t, 32> proposed{};
  int count = 0;
  Check(cublasLtMatmulAlgoGetHeuristic(handle, description, layouts.weight.get(), layouts.x.get(),
                                       layouts.y.get(), layouts.y.get(), created,
                                       static_cast<int>(proposed.size()), proposed.data(), &count),
        "asking cuBLASLt for algorithms");
  for (int i = 0; i < count; ++i) {
    const cublasLtMatmulAlgo_t& algorithm = proposed[i].algo;
    if (proposed[i].state == CUBLAS_STATUS_SUCCESS && SplitsNoSum(algorithm) &&
        Takes(handle, description, shape, 1, algorithm) &&
        Takes(handle, description, shape, LinearAlgorithms::kMostRows, algorithm)) {
      return algorithm;
    }
  }
  return std::nullopt;
}

void Multiply(const LinearAlgorithms& algorithms, cublasLtMatmulDesc_t description,
              const LinearShape& shape, const void* weight, const void* x, void* y, int rows,
              const cublasLtMatmulAlgo_t& algorithm, cudaStream_t stream) {
  const float one = 1.0f;
  const float added = shape.adds_to_output ? 1.0f : 0.0f;
  const Layouts layouts(shape, rows);
  Check(cublasLtMatmul(algorithms.handle(), description, &one, weight, layouts.weight.get(), x,
                       layouts.x.get(), &added, y, layouts.y.get(), y, layouts.y.get(), &algorithm,
                       algorithms.workspace(), LinearAlgorithms::kWorkspaceBytes, stream),
        "a linear layer");
}

// Random elements of T, in [-1, 1).
std::vector<std::byte> RandomElements(size_t count, ElementType type) {
  std::vector<std::byte> elements(count * kernels::ElementBytes(type));
  std::minstd_rand random(1);
  std::uniform_real_distribution<float> values(-1.0f, 1.0f);
  for (size_t i = 0; i < count; ++i) {
    const float value = values(random);
    if (type == ElementType::kFloat32) reinterpret_cast<float*>(elements.data())[i] = value;
    if (type == ElementType::kFloat16) {
      reinterpret_cast<__half*>(elements.data())[i] = __float2half_rn(value);
    }
    if (type == ElementType::kBFloat16) {
      reinterpret_cast<__nv_bfloat16*>(elements.data())[i] = __float2bfloat16_rn(value);
    }
  }
  return elements;
}

// What an algorithm makes of kFewRows random rows.
std::vector<std::byte> Tried(const LinearAlgorithms& algorithms, cublasLtMatmulDesc_t description,
                             const LinearShape& shape, const void* weight,
                             const cublasLtMatmulAlgo_t& algorithm) {
  constexpr size_t kRows = LinearAlgorithms::kFewRows;
  const std::vector<std::byte> x = RandomElements(kRows * shape.inputs, shape.type);
  std::vector<std::byte> y = RandomElements(kRows * shape.outputs, shape.type);
  const DeviceMemory device_x = AllocateDevice(x.size());
  const DeviceMemory device_y = AllocateDevice(y.size());
  Check(cudaMemcpy(device_x.get(), x.data(), x.size(), cudaMemcpyHostToDevice), "trying a layer");
  Check(cudaMemcpy(device_y.get(), y.data(), y.size(), cudaMemcpyHostToDevice), "trying a layer");
  const Stream stream = MakeStream();
  Multiply(algorithms, description, shape, weight, device_x.get(), device_y.get(), kRows, algorithm,
           stream.get());
  Check(cudaStreamSynchronize(stream.get()), "trying a layer");
  Check(cudaMemcpy(y.data(), device_y.get(), y.size(), cudaMemcpyDeviceToHost), "trying a layer");
  return y;
}

std::string ShapeName(const LinearShape& shape) {
  return std::to_string(shape.inputs) + " -> " + std::to_string(shape.outputs) +
         (shape.epilogue == LinearEpilogue::kGeluTanh ? ", tanh GELU" : "") +
         (shape.adds_to_output ? ", adds" : "");
}

std::string AlgorithmName(const cublasLtMatmulAlgo_t& algorithm) {
  return std::to_string(Config<int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_ID)) + ", tile " +
         std::to_string(Config<uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_TILE_ID)) + ", stages " +
         std::to_string(Config<uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_STAGES_ID)) +
         ", cluster " +
         std::to_string(Config<uint16_t>(algorithm, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID)) +
         ", split-K " + std::to_string(Config<int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM));
}

}  // namespace

LinearAlgorithms::LinearAlgorithms() : workspace_(AllocateDevice(kWorkspaceBytes)) {
  cublasLtHandle_t handle = nullptr;
  Check(cublasLtCreate(&handle), "opening cuBLASLt");
  handle_.reset(handle);
}

const LinearAlgorithm& LinearAlgorithms::Find(const LinearShape& shape,
                                              cublasLtMatmulDesc_t description,
                                              const void* weight) {
  const auto known = algorithms_.find(shape);
  if (known != algorithms_.end()) return known->second;
  const std::optional<cublasLtMatmulAlgo_t> many =
      FirstAllowed(handle(), description, shape, kManyRows);
  if (!many.has_value()) {
    throw Failure(
        Code::kInvalidArgument,
        "cuBLASLt has no algorithm without split sums for the linear layer " + ShapeName(shape));
  }
  std::optional<cublasLtMatmulAlgo_t> few =
      FirstAllowed(handle(), description, shape, kTypicalFewRows);
  if (few.has_value() && Tried(*this, description, shape, weight, *few) !=
                             Tried(*this, description, shape, weight, *many)) {
    few.reset();
  }
  return algorithms_.emplace(shape, LinearAlgorithm{.many = *many, .few = few}).first->second;
}

std::string LinearAlgorithms::Describe() const {
  std::string lines;
  for (const auto& [shape, algorithm] : algorithms_) {
    lines += "linear " + ShapeName(shape) + ": algorithm " + AlgorithmName(algorithm.many) +
             (algorithm.few.has_value()
                  ? "; up to " + std::to_string(kFewRows) + " rows " + AlgorithmName(*algorithm.few)
                  : "; no other gives the same bits") +
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
  algorithm_ = &algorithms.Find(shape, description, weight);
}

void LinearLayer::Run(const void* x, void* y, int rows, cudaStream_t stream) {
  const bool few = rows <= LinearAlgorithms::kFewRows && algorithm_->few.has_value();
  Multiply(*algorithms_, description_.get(), shape_, weight_, x, y, rows,
           few ? *algorithm_->few : algorithm_->many, stream);
}

}  // namespace tome::cuda
