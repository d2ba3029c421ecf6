#include "server/model/reference_pass.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>

#include <array>
#include <cmath>
#include <tuple>

#include "server/model/merge_tokens.h"
#include "server/model/precision.h"

namespace tome {
namespace {

at::Tensor PerChannel(const std::array<float, 3>& values) {
  return at::tensor(values).view({1, 3, 1, 1});
}

}  // namespace

ReferencePass::ReferencePass(VitDescription vit, VitWeights weights)
    : vit_(std::move(vit)), weights_(std::move(weights)) {}

at::Tensor ReferencePass::NormalizePixels(const at::Tensor& pixels) const {
  const at::Tensor channels_first = pixels.permute({0, 3, 1, 2}).to(at::kDouble);
  const at::Tensor scaled = (channels_first * vit_.preprocessing.rescale).to(kFloat);
  return (scaled - PerChannel(vit_.preprocessing.mean)) / PerChannel(vit_.preprocessing.std);
}

PassResult ReferencePass::Run(const at::Tensor& pixels, const MergePlan& plan) const {
  PassResult result;
  at::Tensor x = Embed(pixels);             // [T, D] packed tokens
  at::Tensor size = at::ones({x.size(0)});  // [T] patches each token stands for
  for (int i = 0; i < plan.blocks(); ++i) {
    const BlockWeights& block = weights_.blocks[i];
    // x = x + Attention(LN(x)), log(size) added to each key's logit (ToMe, section 3).
    const auto [attended, keys] = Attend(block, LayerNorm(x, block.norm1), size, plan, i);
    x = x + attended;
    // The r most similar pairs of each image become one token each, weighted by size.
    result.matches.push_back(MatchTokens(keys, plan.at(i), plan.prefix_tokens()));
    if (plan.AnyMerges(i)) {
      std::tie(x, size) =
          MergeTokens(x, size, plan.at(i), result.matches.back(), plan.prefix_tokens());
    }
    // x = x + MLP(LN(x)).
    x = x + block.fc2(at::gelu(block.fc1(LayerNorm(x, block.norm2))));
  }

  result.tokens = x.to(kFloat);
  if (!vit_.norm_after_pooling) result.tokens = LayerNorm(result.tokens, weights_.final_norm);
  result.size = size;
  std::vector<at::Tensor> pooled;
  for (const Segment& image : plan.at(plan.blocks())) {
    pooled.push_back(Pool(result.tokens.narrow(0, image.offset, image.tokens),
                          size.narrow(0, image.offset, image.tokens)));
  }
  result.embeddings = at::stack(pooled);
  if (vit_.norm_after_pooling) {
    result.embeddings = LayerNorm(result.embeddings, weights_.final_norm);
  }
  return result;
}

at::Tensor ReferencePass::Embed(const at::Tensor& pixels) const {
  const int64_t images = pixels.size(0);
  const int64_t patch = vit_.patch_size;
  // Each patch's pixels as one row, in the order of the convolution's kernel: channel, row, column.
  const at::Tensor patches =
      pixels.view({images, 3, vit_.grid_height, patch, vit_.grid_width, patch})
          .permute({0, 2, 4, 1, 3, 5})
          .reshape({images * vit_.patches(), 3 * patch * patch})
          .to(weights_.compute_type);
  const at::Tensor embedded =
      weights_.patch_embedding(patches).view({images, vit_.patches(), vit_.token_dim});
  const at::Tensor prefix = weights_.prefix.expand({images, vit_.prefix_tokens(), vit_.token_dim});
  return at::cat({prefix, embedded + weights_.position_embedding}, 1)
      .view({images * vit_.tokens(), vit_.token_dim})
      .to(weights_.compute_type);
}

std::pair<at::Tensor, at::Tensor> ReferencePass::Attend(const BlockWeights& block,
                                                        const at::Tensor& x, const at::Tensor& size,
                                                        const MergePlan& plan, int index) const {
  const int64_t head_dim = vit_.token_dim / vit_.heads;
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  const at::Tensor qkv = block.qkv(x).view({x.size(0), 3, vit_.heads, head_dim});
  std::vector<at::Tensor> attended;
  for (int i = 0; i < plan.images(); ++i) {
    const Segment& image = plan.at(index)[i];
    // [3, heads, tokens, d]; contiguous, so that an image's place in the batch does not decide its
    // alignment, and with it the order of sums.
    const at::Tensor own =
        qkv.narrow(0, image.offset, image.tokens).permute({1, 2, 0, 3}).to(kFloat).contiguous();
    const at::Tensor q = own[0];
    const at::Tensor k = own[1];
    const at::Tensor v = own[2];
    at::Tensor logits = at::matmul(q * scale, k.transpose(1, 2));  // [heads, tokens, tokens]
    const bool merged = image.tokens < plan.at(0)[i].tokens;
    if (merged && vit_.proportional_attention) {
      logits = logits + size.narrow(0, image.offset, image.tokens).log();
    }
    const at::Tensor values = at::matmul(at::softmax(logits, -1), v);  // [heads, tokens, d]
    attended.push_back(values.transpose(0, 1).reshape({image.tokens, vit_.token_dim}));
  }
  return {block.projection(at::cat(attended).to(weights_.compute_type)), qkv.select(1, 1)};
}

at::Tensor ReferencePass::Pool(const at::Tensor& tokens, const at::Tensor& size) const {
  switch (vit_.pooling) {
    case VitPooling::kClassToken:
      return tokens[0];
    case VitPooling::kMeanOfClassTokens:
      return (tokens[0] + tokens[1]) / 2.0;
    case VitPooling::kMeanOfPatches:
      break;
  }
  const at::Tensor patches = tokens.slice(0, vit_.prefix_tokens());
  const at::Tensor weight = size.slice(0, vit_.prefix_tokens());
  return (patches * weight.unsqueeze(1)).sum(0) / weight.sum();
}

at::Tensor ReferencePass::LayerNorm(const at::Tensor& x, const LayerNormWeights& norm) const {
  return at::layer_norm(x, {vit_.token_dim}, norm.weight, norm.bias, vit_.norm_epsilon);
}

std::vector<int> GroupOfToken(const MergePlan& plan,
                              std::span<const std::vector<TokenMatch>> matches, int image) {
  std::vector<int> group(plan.at(0)[image].tokens);
  for (size_t token = 0; token < group.size(); ++token) group[token] = static_cast<int>(token);
  for (int block = 0; block < plan.blocks(); ++block) {
    const Segment& segment = plan.at(block)[image];
    if (segment.merges == 0) continue;
    const std::vector<int> after =
        RowsAfterMerge(matches[block][image], segment.tokens, plan.prefix_tokens());
    for (int& row : group) row = after[row];
  }
  return group;
}

}  // namespace tome
