#ifndef TOME_SERVER_MODEL_REFERENCE_PASS_H_
#define TOME_SERVER_MODEL_REFERENCE_PASS_H_

#include <ATen/core/Tensor.h>

#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "server/merge/merge_plan.h"
#include "server/model/token_match.h"
#include "server/model/vit_description.h"
#include "server/model/vit_weights.h"

namespace tome {

// What a pass leaves.
struct PassResult {
  // [images], each [embedding_dim] or, of a mean of patches, [D]; float32.
  std::vector<at::Tensor> embeddings;
  // [T, D] float32 packed tokens after the final norm; where that stands behind the pooling,
  // before it.
  at::Tensor tokens;
  at::Tensor size;  // [T] float32, patches that each of them stands for
  // [blocks][images]: what was merged; empty where nothing was.
  std::vector<std::vector<TokenMatch>> matches;
};

// What one block's tokens are when their number shrinks, between attention and MLP.
struct BlockTokens {
  const at::Tensor& tokens;         // [T, D] packed, attention's residual added
  const at::Tensor& size;           // [T] float32, patches that each of them stands for
  const at::Tensor& qkv;            // [T, 3, heads, d] the attention's queries, keys and values
  std::span<const Segment> images;  // their rows, and by how many (merges) each is to shrink
  int prefix_tokens;                // in front of each image's rows: these stay
  int block;
  int blocks;
};

// Tokens and sizes as the block's MLP finds them: of each image its `merges` fewer, prefix in
// front.
using TokenReduction = std::function<std::pair<at::Tensor, at::Tensor>(const BlockTokens&)>;

// Which images' attention is one product. kRunsOfEqualImages, for neighbours of equally many
// tokens, is faster and lets batch mates change an image's last bits.
enum class Attending { kEachImage, kRunsOfEqualImages };

// The forward pass of a vision transformer with Token Merging, in plain ATen, as the paper writes
// it: what the fast passes are measured against, and what training differentiates where the
// weights' layers carry gradients. Types are those of precision.h. Keeps no state
// between calls; a call uses all of Torch's threads. Throws what Torch throws.
class ReferencePass {
 public:
  ReferencePass(VitDescription vit, VitWeights weights,
                Attending attending = Attending::kEachImage);

  // pixels [images, height, width, 3] uint8 -> [images, 3, height, width] float32,
  // (pixel * rescale - mean) / std.
  at::Tensor NormalizePixels(const at::Tensor& pixels) const;

  // pixels as NormalizePixels gives them; the plan's images in the same order, each of
  // VitDescription::tokens() tokens. `pooling`: how each image is pooled, of those that the model
  // has the token or the weights for.
  PassResult Run(const at::Tensor& pixels, const MergePlan& plan,
                 std::span<const VitPooling> pooling) const;
  // Each image as the family does.
  PassResult Run(const at::Tensor& pixels, const MergePlan& plan) const;
  // With `reduce` in place of matching and merging, called once a block: what the paper's method is
  // compared with. The result has no matches.
  PassResult Run(const at::Tensor& pixels, const MergePlan& plan,
                 const TokenReduction& reduce) const;

  // One image's final tokens [n, D] and their sizes [n] -> its embedding. Only those are read that
  // `pooling` pools: sizes, and rows behind the prefix, may be left out where it is one of prefix
  // tokens.
  at::Tensor Embedding(VitPooling pooling, const at::Tensor& tokens, const at::Tensor& size) const;

  const VitDescription& vit() const { return vit_; }
  const VitWeights& weights() const { return weights_; }

 private:
  PassResult Run(const at::Tensor& pixels, const MergePlan& plan,
                 std::span<const VitPooling> pooling, const TokenReduction& reduce) const;

  // [images, 3, height, width] -> packed tokens [T, D].
  at::Tensor Embed(const at::Tensor& pixels) const;

  // Multi-head self-attention of each image's tokens among themselves, on LN(x).
  // Returns the projected values [T, D] and what they come from, [T, 3, heads, d].
  std::pair<at::Tensor, at::Tensor> Attend(const BlockWeights& block, const at::Tensor& x,
                                           const at::Tensor& size, const MergePlan& plan,
                                           int index) const;

  // Of one block, on LN(x).
  at::Tensor Mlp(const BlockWeights& block, const at::Tensor& x,
                 std::span<const Segment> images) const;

  // fc1's outputs [T, D] by the model's activation.
  at::Tensor Activate(const at::Tensor& x, std::span<const Segment> images) const;

  at::Tensor Pool(VitPooling pooling, const at::Tensor& tokens, const at::Tensor& size) const;
  at::Tensor AttentionPool(const at::Tensor& tokens, const at::Tensor& size) const;

  at::Tensor LayerNorm(const at::Tensor& x, const LayerNormWeights& norm) const;

  // Constant after construction.
  VitDescription vit_;
  VitWeights weights_;
  Attending attending_;
};

// For each of an image's tokens before the first block, the row of the final tokens it ended in.
//   plan, matches  of the pass; REQUIRES: 0 <= image < plan.images()
std::vector<int> GroupOfToken(const MergePlan& plan,
                              std::span<const std::vector<TokenMatch>> matches, int image);

}  // namespace tome

#endif  // TOME_SERVER_MODEL_REFERENCE_PASS_H_
