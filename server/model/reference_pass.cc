#include "server/model/reference_pass.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>

#include <array>
#include <cmath>
#include <tuple>

#include "server/model/merge_tokens.h"
#include "server/model/precision.h"

namespace tome {
namespace {

// Each image's rows. Views of one operation, so that their gradients are joined by one, too.
std::vector<at::Tensor> RowsOfEach(const at::Tensor& x, std::span<const Segment> images) {
  std::vector<int64_t> rows;
  for (const Segment& image : images) rows.push_back(image.tokens);
  return x.split_with_sizes(rows);
}

// `body` of each image's rows, one below the other.
template <typename Body>
at::Tensor EachImage(const at::Tensor& x, std::span<const Segment> images, const Body& body) {
  std::vector<at::Tensor> results;
  for (const at::Tensor& rows : RowsOfEach(x, images)) results.push_back(body(rows.contiguous()));
  return at::cat(results);
}

at::Tensor PerChannel(const std::array<float, 3>& values, const at::Tensor& pixels) {
  return at::tensor(values).view({1, 3, 1, 1}).to(pixels.device());
}

// Neighbouring images that attend by one product: their rows follow each other.
struct AttentionRun {
  Segment first;
  int images = 0;
  bool merged = false;  // by an earlier block

  int64_t rows() const { return int64_t{images} * first.tokens; }
};

std::vector<AttentionRun> AttentionRuns(const MergePlan& plan, int block, Attending attending) {
  std::vector<AttentionRun> runs;
  for (int i = 0; i < plan.images(); ++i) {
    const Segment& image = plan.at(block)[i];
    const bool merged = image.tokens < plan.at(0)[i].tokens;
    const bool joins = attending == Attending::kRunsOfEqualImages && !runs.empty() &&
                       runs.back().first.tokens == image.tokens && runs.back().merged == merged;
    if (joins) {
      ++runs.back().images;
    } else {
      runs.push_back({.first = image, .images = 1, .merged = merged});
    }
  }
  return runs;
}

}  // namespace

ReferencePass::ReferencePass(VitDescription vit, VitWeights weights, Attending attending)
    : vit_(std::move(vit)), weights_(std::move(weights)), attending_(attending) {}

at::Tensor ReferencePass::NormalizePixels(const at::Tensor& pixels) const {
  const at::Tensor channels_first = pixels.permute({0, 3, 1, 2}).to(at::kDouble);
  const at::Tensor scaled = (channels_first * vit_.preprocessing.rescale).to(kFloat);
  return (scaled - PerChannel(vit_.preprocessing.mean, pixels)) /
         PerChannel(vit_.preprocessing.std, pixels);
}

PassResult ReferencePass::Run(const at::Tensor& pixels, const MergePlan& plan) const {
  return Run(pixels, plan, std::vector<VitPooling>(plan.images(), vit_.pooling));
}

PassResult ReferencePass::Run(const at::Tensor& pixels, const MergePlan& plan,
                              const TokenReduction& reduce) const {
  return Run(pixels, plan, std::vector<VitPooling>(plan.images(), vit_.pooling), reduce);
}

PassResult ReferencePass::Run(const at::Tensor& pixels, const MergePlan& plan,
                              std::span<const VitPooling> pooling) const {
  std::vector<std::vector<TokenMatch>> matches;
  // The r most similar pairs of each image become one token each, weighted by size.
  PassResult result = Run(pixels, plan, pooling, [&](const BlockTokens& block) {
    matches.push_back(MatchTokens(block.qkv.select(1, 1), block.images, block.prefix_tokens));
    return plan.AnyMerges(block.block) ? MergeTokens(block.tokens, block.size, block.images,
                                                     matches.back(), block.prefix_tokens)
                                       : std::pair(block.tokens, block.size);
  });
  result.matches = std::move(matches);
  return result;
}

PassResult ReferencePass::Run(const at::Tensor& pixels, const MergePlan& plan,
                              std::span<const VitPooling> pooling,
                              const TokenReduction& reduce) const {
  PassResult result;
  at::Tensor x = Embed(pixels);  // [T, D] packed tokens
  if (vit_.norm_before_blocks) x = LayerNorm(x, weights_.norm_before_blocks);
  at::Tensor size =
      at::ones({x.size(0)}, x.options().dtype(kFloat));  // [T] patches each token stands for
  for (int i = 0; i < plan.blocks(); ++i) {
    const BlockWeights& block = weights_.blocks[i];
    // x = x + Attention(LN(x)), log(size) added to each key's logit (ToMe, section 3).
    const auto [attended, qkv] = Attend(block, LayerNorm(x, block.norm1), size, plan, i);
    x = x + attended;
    // r tokens fewer of each image, as a rule by merging the r most similar pairs.
    std::tie(x, size) = reduce({.tokens = x,
                                .size = size,
                                .qkv = qkv,
                                .images = plan.at(i),
                                .prefix_tokens = plan.prefix_tokens(),
                                .block = i,
                                .blocks = plan.blocks()});
    // x = x + MLP(LN(x)).
    x = x + Mlp(block, LayerNorm(x, block.norm2), plan.at(i + 1));
  }

  result.tokens = x.to(kFloat);
  if (!vit_.norm_after_pooling) result.tokens = LayerNorm(result.tokens, weights_.final_norm);
  result.size = size;
  const std::span<const Segment> images = plan.at(plan.blocks());
  const std::vector<at::Tensor> tokens = RowsOfEach(result.tokens, images);
  const std::vector<at::Tensor> sizes = RowsOfEach(size, images);
  for (int i = 0; i < plan.images(); ++i) {
    result.embeddings.push_back(Embedding(pooling[i], tokens[i], sizes[i]));
  }
  return result;
}

at::Tensor ReferencePass::Embed(const at::Tensor& pixels) const {
  const int64_t images = pixels.size(0);
  const int64_t patch = vit_.patch_size;
  // Each patch's pixels as one row, in the order of the convolution's kernel: channel, row, column.
  // What lies beyond the last whole patch is left out.
  const at::Tensor patches = pixels.narrow(2, 0, vit_.grid_height * patch)
                                 .narrow(3, 0, vit_.grid_width * patch)
                                 .unflatten(3, {vit_.grid_width, patch})
                                 .unflatten(2, {vit_.grid_height, patch})
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
  const std::vector<AttentionRun> runs = AttentionRuns(plan, index, attending_);
  std::vector<int64_t> rows;
  rows.reserve(runs.size());
  for (const AttentionRun& run : runs) rows.push_back(run.rows());
  const std::vector<at::Tensor> qkv_of_run = qkv.split_with_sizes(rows);
  std::vector<at::Tensor> attended;
  for (size_t i = 0; i < runs.size(); ++i) {
    const AttentionRun& run = runs[i];
    // [3, images, heads, tokens, d]; contiguous, so that an image's place in the batch does not
    // decide its alignment, and with it the order of sums.
    const at::Tensor own = qkv_of_run[i]
                               .view({run.images, run.first.tokens, 3, vit_.heads, head_dim})
                               .permute({2, 0, 3, 1, 4})
                               .to(kFloat)
                               .contiguous();
    const std::vector<at::Tensor> q_k_v = own.unbind();
    at::Tensor logits =
        at::matmul(q_k_v[0] * scale, q_k_v[1].transpose(2, 3));  // [.., heads, tokens, tokens]
    if (run.merged && vit_.proportional_attention) {
      logits = logits + size.narrow(0, run.first.offset, run.rows())
                            .view({run.images, 1, 1, run.first.tokens})
                            .log();
    }
    const at::Tensor values =
        at::matmul(at::softmax(logits, -1), q_k_v[2]);  // [.., heads, tokens, d]
    attended.push_back(values.transpose(1, 2).reshape({run.rows(), vit_.token_dim}));
  }
  return {block.projection(at::cat(attended).to(weights_.compute_type)), qkv};
}

at::Tensor ReferencePass::Mlp(const BlockWeights& block, const at::Tensor& x,
                              std::span<const Segment> images) const {
  const at::Tensor hidden = block.fc1(x);
  if (vit_.mlp == VitMlp::kPlain) return block.fc2(Activate(hidden, images));
  const at::Tensor gate = hidden.narrow(1, 0, vit_.mlp_hidden_dim);
  const at::Tensor up = hidden.narrow(1, vit_.mlp_hidden_dim, vit_.mlp_hidden_dim);
  const auto silu = [](const at::Tensor& image) { return at::silu(image); };
  return block.fc2(EachImage(gate, images, silu) * up);
}

at::Tensor ReferencePass::Activate(const at::Tensor& x, std::span<const Segment> images) const {
  switch (vit_.activation) {
    case VitActivation::kGelu:
      // By oneDNN, which computes bfloat16 where Linear does.
      return HasBFloat16() ? at::gelu(x) : at::gelu(x.to(kFloat)).to(x.scalar_type());
    case VitActivation::kGeluTanh:
      return EachImage(x, images, [](const at::Tensor& image) { return at::gelu(image, "tanh"); });
    case VitActivation::kQuickGelu:
      break;
  }
  return EachImage(x, images, [](const at::Tensor& image) {
    const at::Tensor wide = image.to(kFloat);
    return (wide * at::sigmoid(1.702 * wide)).to(image.scalar_type());
  });
}

at::Tensor ReferencePass::Embedding(VitPooling pooling, const at::Tensor& tokens,
                                    const at::Tensor& size) const {
  at::Tensor pooled = Pool(pooling, tokens, size).unsqueeze(0);
  if (vit_.norm_after_pooling) pooled = LayerNorm(pooled, weights_.final_norm);
  const bool projected = vit_.projection_dim > 0 && pooling != VitPooling::kMeanOfPatches;
  return (projected ? weights_.projection(pooled) : pooled)[0];
}

at::Tensor ReferencePass::Pool(VitPooling pooling, const at::Tensor& tokens,
                               const at::Tensor& size) const {
  switch (pooling) {
    case VitPooling::kClassToken:
      return tokens[0];
    case VitPooling::kMeanOfClassTokens:
      return (tokens[0] + tokens[1]) / 2.0;
    case VitPooling::kAttention:
      return AttentionPool(tokens, size);
    case VitPooling::kMeanOfPatches:
      break;
  }
  const at::Tensor patches = tokens.slice(0, vit_.prefix_tokens());
  const at::Tensor weight = size.slice(0, vit_.prefix_tokens());
  return (patches * weight.unsqueeze(1)).sum(0) / weight.sum();
}

at::Tensor ReferencePass::AttentionPool(const at::Tensor& tokens, const at::Tensor& size) const {
  const AttentionPoolWeights& pool = weights_.pool;
  const int64_t head_dim = vit_.token_dim / vit_.heads;
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  // [2, heads, tokens, d]
  const at::Tensor key_value = pool.key_value(tokens.contiguous())
                                   .view({tokens.size(0), 2, vit_.heads, head_dim})
                                   .permute({1, 2, 0, 3})
                                   .contiguous();
  at::Tensor logits = at::matmul(pool.query * scale, key_value[0].transpose(1, 2));
  if (vit_.proportional_attention) logits = logits + size.log();
  const at::Tensor values = at::matmul(at::softmax(logits, -1), key_value[1]);  // [heads, 1, d]
  const at::Tensor x = pool.projection(values.reshape({1, vit_.token_dim}));
  const Segment row = {.offset = 0, .tokens = 1};
  const at::Tensor hidden = pool.fc1(LayerNorm(x, pool.norm));
  return (x + pool.fc2(Activate(hidden, {&row, 1})))[0];
}

at::Tensor ReferencePass::LayerNorm(const at::Tensor& x, const LayerNormWeights& norm) const {
  // CUDA's takes no float32 weights for bfloat16 tokens.
  const auto fitting = [&](const at::Tensor& weight) {
    return x.is_cuda() ? weight.to(x.scalar_type()) : weight;
  };
  return at::layer_norm(x, {vit_.token_dim}, fitting(norm.weight), fitting(norm.bias),
                        vit_.norm_epsilon);
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
