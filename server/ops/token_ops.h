#ifndef TOME_SERVER_OPS_TOKEN_OPS_H_
#define TOME_SERVER_OPS_TOKEN_OPS_H_

#include <ATen/core/Tensor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "server/kernels/cpu/activation.h"
#include "server/kernels/cpu/parallel_for.h"
#include "server/merge/merge_plan.h"

namespace tome::ops {

using kernels::cpu::Activation;

// A layer norm's numbers, float32 [D].
struct Norm {
  const at::Tensor& weight;
  const at::Tensor& bias;
  double epsilon;
};

// Which rows a block's tokens become, as kernels/cpu/token_match.h says. Grows, never shrinks.
struct MergeLists {
  std::vector<int> own_row;
  std::vector<int> first_source;
  std::vector<int> source_count;
  std::vector<int> source_row;
  std::vector<int> row_after;
};

// The CPU kernels on tensors: each checks shapes and types once, throwing c10::Error, then runs on
// the threads given. Tensors of tokens are float32 or bfloat16 [rows, D], rows dense. Scratch is
// kept from call to call, as large as the largest one needed. One call at a time; const ones at
// once, on different rows.
class TokenOps {
 public:
  // `threads` must outlive this.
  explicit TokenOps(const kernels::cpu::ParallelFor& threads) : threads_(threads) {}

  // out = softmax(q k^T / sqrt(head size) + log_size) v for each head of each image. Rows of q, k
  // and v may lie apart. query_rows: 0 for every row, or how many of each image's first rows q and
  // out hold. log_size [T] float32 may be undefined.
  void Attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                 std::span<const Segment> images, const at::Tensor& log_size, int heads,
                 int query_rows, const at::Tensor& out);

  // keys [T, D], rows may lie apart.
  void MatchTokens(const at::Tensor& keys, int heads, std::span<const Segment> before,
                   std::span<const Segment> after, int prefix_tokens, MergeLists* lists);

  // x [T_in, D] and size [T_in], which may be undefined, along the lists -> x_out [T_out, D],
  // size_out and log_size_out [T_out], normed [T_out, D].
  void MergeTokens(const at::Tensor& x, const at::Tensor& size, const MergeLists& lists,
                   const Norm& norm, const at::Tensor& x_out, const at::Tensor& size_out,
                   const at::Tensor& log_size_out, const at::Tensor& normed);

  // x += delta.
  void Add(const at::Tensor& x, const at::Tensor& delta) const;
  // out = norm(x), in out's type.
  void LayerNorm(const at::Tensor& x, const Norm& norm, const at::Tensor& out) const;
  // x += delta, out = norm(x).
  void AddLayerNorm(const at::Tensor& x, const at::Tensor& delta, const Norm& norm,
                    const at::Tensor& out) const;

  // out may be `in` where the widths are equal.
  void Activate(Activation activation, const at::Tensor& in, const at::Tensor& out) const;

  // pixels [images], each uint8 [height, width, 3] -> rows [images * patches, 3 * patch_size^2].
  void PatchRows(std::span<const uint8_t* const> pixels, int height, int width, int patch_size,
                 const std::array<float, 3>& mean, const std::array<float, 3>& std,
                 const at::Tensor& rows) const;

  // Embeddings of packed patches from `first_row` on, position [patches, D] float32 added, to their
  // rows of x [images * (prefix_tokens + patches), D]; `norm` may be null.
  void AssemblePatches(const at::Tensor& embeddings, const at::Tensor& position, const Norm* norm,
                       int first_row, int prefix_tokens, const at::Tensor& x) const;

 private:
  struct Free {
    void operator()(void* memory) const;
  };

  kernels::cpu::Compute compute() const { return {threads_}; }
  void* Scratch(size_t bytes);
  void Norms(const at::Tensor& x, const at::Tensor* delta, const Norm* norm,
             const at::Tensor* out) const;

  const kernels::cpu::ParallelFor& threads_;
  std::unique_ptr<void, Free> scratch_;
  size_t scratch_bytes_ = 0;
};

}  // namespace tome::ops

#endif  // TOME_SERVER_OPS_TOKEN_OPS_H_
