#ifndef TOME_SERVER_MODEL_FAST_PASS_H_
#define TOME_SERVER_MODEL_FAST_PASS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "server/merge/merge_plan.h"
#include "server/model/reference_pass.h"
#include "server/model/row_tiles.h"
#include "server/model/vit_tensors.h"
#include "server/ops/token_ops.h"
#include "server/ops/torch_threads.h"

namespace tome {

// What a pass leaves, in memory of its own.
struct FastPassResult {
  std::vector<at::Tensor> embeddings;  // as PassResult's

  // Empty and undefined unless asked for.
  at::Tensor tokens;           // [T, D] float32, as PassResult's
  at::Tensor size;             // [T] float32, patches that each stands for
  std::vector<int> final_row;  // of each packed token of the start: the final row it is part of
};

// ReferencePass's results by the project's own kernels, in memory that is kept from call to call.
//
// A block is three sweeps over the packed tokens: attention, straight from the product of the QKV
// layer; projection and residual sum; and, behind matching and merging, the MLP together with the
// next block's norm and QKV product. Those with products run tile by tile, so that what one layer
// leaves is in the cache when the next one reads it.
//
// Where every image pools prefix tokens and nobody asks for tokens or maps, the last block computes
// keys and values of all tokens and everything else of the pooled ones alone, to the same bits.
//
// Throws what Torch throws. One call at a time; it uses all of Torch's threads.
class FastPass {
 public:
  // Converts and packs. REQUIRES: compute_type Float or BFloat16.
  FastPass(const VitTensors& tensors, c10::ScalarType compute_type);

  // Has oneDNN build its kernels for every number of rows that a pass can multiply, so that no
  // request waits for one.
  void WarmUp() const;

  // pixels: one image after the other, each uint8 [height, width, 3] of the model's input size; the
  // plan's images in the same order. `pooling`: how each image is pooled.
  FastPassResult Run(std::span<const uint8_t* const> pixels, const MergePlan& plan,
                     std::span<const VitPooling> pooling, bool want_tokens_or_maps);

 private:
  // What a block's attention reads, each [T, D]. No queries where only prefix rows ask.
  struct Projected {
    at::Tensor q;
    at::Tensor k;
    at::Tensor v;
  };

  // Room for `images` images.
  void Reserve(int64_t images);
  // The first block's x_ and what its attention reads.
  void Embed(std::span<const uint8_t* const> pixels);
  // x_ += attention; rows_ = norm2 of it, unless the block merges.
  void Attend(int index, const MergePlan& plan);
  // x_ after the block's merges, rows_ = norm2 of it.
  void Merge(int index, const MergePlan& plan);
  // x_ += mlp(rows_), and what the next block's attention reads.
  void Mlp(int index);
  // The last block for the first `prefix` rows of each image -> [images * prefix, D].
  at::Tensor FinishPrefix(const MergePlan& plan, int prefix);

  // body(tile, ops for it) for each tile, each on one of Torch's threads.
  template <typename Body>
  void ForEachTile(std::span<const RowTile> tiles, const Body& body) const;
  // product(rows, ops for them) of the first `count` rows -> [count, D].
  template <typename Product>
  at::Tensor MultiplyRows(const at::Tensor& rows, int64_t count, const Product& product) const;

  // Queries, keys and values of block `index` from a tile of rows_.
  void Project(int index, const RowTile& tile) const;
  Projected ProjectedOf(int index) const;
  at::Tensor MlpOf(const BlockWeights& block, const at::Tensor& rows,
                   const ops::TokenOps& ops) const;
  // log(size), where it counts and a block has merged.
  at::Tensor LogSize() const;

  const VitDescription& vit() const { return reference_.vit(); }
  const VitWeights& weights() const { return reference_.weights(); }
  ops::Norm NormOf(const LayerNormWeights& norm) const;
  bool IsLast(int index) const { return index + 1 == vit().blocks; }

  // Constant after construction.
  ReferencePass reference_;  // owns the weights; pools and projects
  // The last block's QKV layer in two: few of its queries may be needed.
  Linear last_query_;
  Linear last_key_value_;
  at::Tensor prefix_;  // [prefix tokens, D] of the compute type, as the first block finds them

  const ops::TorchThreads threads_{};
  const ops::Serial serial_{};

  ops::TokenOps ops_{threads_};
  const ops::TokenOps serial_ops_{serial_};

  // The arena: as many rows as the largest batch so far had tokens, and kSpareRows.
  at::Tensor x_;          // [rows, D] residual stream
  at::Tensor merged_x_;   // [rows, D] what a merge makes of it; the two change places
  at::Tensor rows_;       // [rows, D] normed tokens, or attended values
  at::Tensor projected_;  // queries, keys and values of all tokens; before that, patch rows
  at::Tensor sizes_[2];   // [rows] float32; they change places, too
  at::Tensor log_sizes_;  // [rows] float32
  ops::MergeLists lists_;

  // Of the call that runs.
  int64_t tokens_ = 0;        // packed tokens
  at::Tensor size_;           // [tokens_], undefined until a block merges
  bool prefix_only_ = false;  // the last block is FinishPrefix
  std::vector<int> final_row_;
};

}  // namespace tome

#endif  // TOME_SERVER_MODEL_FAST_PASS_H_
