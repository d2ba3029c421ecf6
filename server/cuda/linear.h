#ifndef TOME_SERVER_CUDA_LINEAR_H_
#define TOME_SERVER_CUDA_LINEAR_H_

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <compare>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>

#include "server/cuda/handles.h"
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

// The algorithm of a shape of layer for many rows, and one that is faster for few, if there is one
// that gives the same bits.
struct LinearAlgorithm {
  cublasLtMatmulAlgo_t many;
  std::optional<cublasLtMatmulAlgo_t> few;
};

// cuBLASLt, and an algorithm for each shape of layer that is chosen by rule and not by timing, so
// that every start of the server chooses alike, and that gives a row the same bits however many
// rows come with it. The rule: the first that cuBLASLt's heuristic proposes for kManyRows among
// those that split no sum (split-K 1, no reduction) and also take one row and kMostRows. Up to
// kFewRows rows another may stand in, the first so proposed for kTypicalFewRows: if, tried on the
// layer's own weights and kFewRows random rows, it gives every bit as the first one does.
class LinearAlgorithms {
 public:
  static constexpr int kManyRows = 12'608;  // 64 images of 197 tokens
  static constexpr int kTypicalFewRows = 197;
  static constexpr int kFewRows = 512;
  static constexpr int kMostRows = 1 << 18;
  // cuBLASLt asks for a few bytes to hand out tiles by; sums that are not split need no more.
  static constexpr size_t kWorkspaceBytes = size_t{1} << 20;

  LinearAlgorithms();

  cublasLtHandle_t handle() const { return handle_.get(); }
  void* workspace() const { return workspace_.get(); }

  // Of the shape; chosen with the weights of the layer that first asks. `description` is that
  // layer's.
  const LinearAlgorithm& Find(const LinearShape& shape, cublasLtMatmulDesc_t description,
                              const void* weight);

  // A line for each shape: which algorithms it has.
  std::string Describe() const;

 private:
  struct HandleDeleter {
    void operator()(cublasLtHandle_t handle) const { cublasLtDestroy(handle); }
  };

  std::unique_ptr<std::remove_pointer_t<cublasLtHandle_t>, HandleDeleter> handle_;
  DeviceMemory workspace_;
  std::map<LinearShape, LinearAlgorithm> algorithms_;
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
  const LinearAlgorithm* algorithm_ = nullptr;
};

}  // namespace tome::cuda

#endif  // TOME_SERVER_CUDA_LINEAR_H_
