#ifndef TOME_SERVER_CUDA_LINEAR_H_
#define TOME_SERVER_CUDA_LINEAR_H_

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <compare>
#include <map>
#include <memory>
#include <string>
#include <type_traits>

#include "server/kernels/element_type.h"

namespace tome::cuda {

// What a linear layer does behind its product and bias.
enum class LinearEpilogue { kNone, kGeluTanh };

// y = epilogue(x W^T + b [+ y]); which of these a layer is decides its algorithm.
struct LinearShape {
  int outputs = 0;
  int inputs = 0;
  kernels::ElementType type = kernels::ElementType::kFloat32;
  LinearEpilogue epilogue = LinearEpilogue::kNone;
  bool adds_to_output = false;  // the residual stream

  friend auto operator<=>(const LinearShape&, const LinearShape&) = default;
};

// cuBLASLt, and one algorithm for each shape of layer, whatever the number of rows: a row's sums
// then have one order, and its bits do not depend on how many rows come with it. The rule: the
// first that cuBLASLt's heuristic proposes for kTypicalRows rows among those that split no sum
// (split-K 1, no reduction, no workspace) and that also take one row and kMostRows. It is a rule
// and not a timing so that every start of the server chooses alike.
class LinearAlgorithms {
 public:
  static constexpr int kTypicalRows = 8192;  // 42 images of 197 tokens
  static constexpr int kMostRows = 1 << 20;

  LinearAlgorithms();

  cublasLtHandle_t handle() const { return handle_.get(); }

  // Of the shape; chosen when first asked for. `description` is the layer's, of LinearLayer.
  const cublasLtMatmulAlgo_t& Find(const LinearShape& shape, cublasLtMatmulDesc_t description);

  // A line for each shape: which algorithm it has.
  std::string Describe() const;

 private:
  struct HandleDeleter {
    void operator()(cublasLtHandle_t handle) const { cublasLtDestroy(handle); }
  };

  std::unique_ptr<std::remove_pointer_t<cublasLtHandle_t>, HandleDeleter> handle_;
  std::map<LinearShape, cublasLtMatmulAlgo_t> algorithms_;
};

// One linear layer on the device. One call at a time.
class LinearLayer {
 public:
  LinearLayer() = default;
  // weight T [outputs, inputs] and bias T [outputs], both on the device and on 16
  // bytes; they and `algorithms` outlive the layer. inputs and outputs are multiples of 8.
  LinearLayer(LinearAlgorithms& algorithms, const LinearShape& shape, const void* weight,
              const void* bias);

  // x T [rows, inputs] -> y T [rows, outputs], packed; or y += for adds_to_output.
  // Only enqueues. REQUIRES: 0 < rows <= kMostRows.
  void Run(const void* x, void* y, int rows, cudaStream_t stream);

 private:
  struct DescriptionDeleter {
    void operator()(cublasLtMatmulDesc_t description) const {
      cublasLtMatmulDescDestroy(description);
    }
  };

  LinearShape shape_;
  const void* weight_ = nullptr;
  std::unique_ptr<std::remove_pointer_t<cublasLtMatmulDesc_t>, DescriptionDeleter> description_;
  LinearAlgorithms* algorithms_ = nullptr;
  const cublasLtMatmulAlgo_t* algorithm_ = nullptr;
};

}  // namespace tome::cuda

#endif  // TOME_SERVER_CUDA_LINEAR_H_
