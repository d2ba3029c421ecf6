#include "server/model/fast_pass.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "server/model/precision.h"

namespace tome {
namespace {

bool PoolsPrefix(VitPooling pooling) {
  return pooling == VitPooling::kClassToken || pooling == VitPooling::kMeanOfClassTokens;
}

// The layer that computes outputs [first, first + outputs) of another.
Linear PartOf(LinearValues& values, int first, int outputs, c10::ScalarType type) {
  float* weight = values.weight.data() + static_cast<size_t>(first) * values.inputs;
  return Linear(
      at::from_blob(weight, {outputs, values.inputs}).to(type, false, /*copy=*/true),
      at::from_blob(values.bias.data() + first, {outputs}).to(type, false, /*copy=*/true));
}

// [rows, columns] at the start of `memory`, or behind `offset` elements.
at::Tensor Matrix(const at::Tensor& memory, int64_t rows, int64_t columns, int64_t offset = 0) {
  return memory.narrow(0, offset, rows * columns).view({rows, columns});
}

RowTiling Tiling() { return RowTiling(at::get_num_threads()); }
std::vector<RowTile> Tiles(int64_t rows) { return Tiling().Tiles(rows); }

at::Tensor Own(const at::Tensor& rows, const RowTile& tile) {
  return rows.narrow(0, tile.first, tile.rows);
}

at::Tensor Padded(const at::Tensor& rows, const RowTile& tile) {
  return rows.narrow(0, tile.first, tile.padded_rows);
}

Fused FusedOf(const VitDescription& vit) {
  if (vit.mlp == VitMlp::kSwiGlu) return Fused::kNone;
  switch (vit.activation) {
    case VitActivation::kGelu:
      return Fused::kGelu;
    case VitActivation::kGeluTanh:
      return Fused::kGeluTanh;
    case VitActivation::kQuickGelu:
      break;
  }
  return Fused::kNone;
}

}  // namespace

FastPass::FastPass(const VitTensors& tensors, c10::ScalarType compute_type)
    : reference_(tensors.vit(), [&] {
        VitWeights weights = LoadVitWeights(tensors, compute_type);
        weights.blocks.back().qkv = Linear();
        return weights;
      }()) {
  const int dim = vit().token_dim;
  LinearValues qkv = tensors.Linear(LinearRole::kQkv, vit().blocks - 1);
  last_query_ = PartOf(qkv, 0, dim, compute_type);
  last_key_value_ = PartOf(qkv, dim, 2 * dim, compute_type);

  at::Tensor prefix = weights().prefix;
  if (vit().norm_before_blocks) {
    const LayerNormWeights& norm = weights().norm_before_blocks;
    prefix = at::layer_norm(prefix, {dim}, norm.weight, norm.bias, vit().norm_epsilon);
  }
  prefix_ = prefix.to(compute_type);
}

template <typename Body>
void FastPass::ForEachTile(std::span<const RowTile> tiles, const Body& body) const {
  threads_(static_cast<int>(tiles.size()), [&](int index, int) {
    const c10::InferenceMode inference;
    body(tiles[index], serial_ops_);
  });
}

template <typename Product>
at::Tensor FastPass::MultiplyRows(const at::Tensor& rows, int64_t count,
                                  const Product& product) const {
  const at::Tensor results = at::empty({count, vit().token_dim}, rows.options());
  ForEachTile(Tiles(count), [&](const RowTile& tile, const ops::TokenOps& ops) {
    Own(results, tile).copy_(product(Padded(rows, tile), ops).narrow(0, 0, tile.rows));
  });
  return results;
}

void FastPass::WarmUp() const {
  const BlockWeights& first = weights().blocks.front();
  const auto multiply = [&](const Linear& linear, int64_t rows, int64_t inputs,
                            Fused fused = Fused::kNone) {
    linear.OfTile(at::zeros({rows, inputs}, weights().compute_type), fused);
  };
  const int64_t dim = vit().token_dim;
  std::vector<RowTile> tiles;
  for (const int rows : Tiling().RowCounts()) tiles.push_back({.rows = rows, .padded_rows = rows});
  ForEachTile(tiles, [&](const RowTile& tile, const ops::TokenOps&) {
    const int64_t rows = tile.rows;
    multiply(weights().patch_embedding, rows, int64_t{3} * vit().patch_size * vit().patch_size);
    if (vit().blocks > 1) multiply(first.qkv, rows, dim);
    multiply(last_query_, rows, dim);
    multiply(last_key_value_, rows, dim);
    multiply(first.projection, rows, dim);
    multiply(first.fc1, rows, dim, FusedOf(vit()));
    multiply(first.fc2, rows, vit().mlp_hidden_dim);
  });
}

FastPassResult FastPass::Run(std::span<const uint8_t* const> pixels, const MergePlan& plan,
                             std::span<const VitPooling> pooling, bool want_tokens_or_maps) {
  const bool two_prefix_rows =
      std::ranges::find(pooling, VitPooling::kMeanOfClassTokens) != pooling.end();
  const int prefix = two_prefix_rows ? 2 : 1;
  prefix_only_ = !want_tokens_or_maps && std::ranges::all_of(pooling, PoolsPrefix);
  tokens_ = plan.packed_tokens(0);
  size_ = at::Tensor();
  final_row_.resize(tokens_);
  std::iota(final_row_.begin(), final_row_.end(), 0);

  Reserve(plan.images());
  Embed(pixels);
  for (int i = 0; i < plan.blocks() && !(prefix_only_ && IsLast(i)); ++i) {
    // x = x + Attention(LN(x)), log(size) added to each key's logit (ToMe, section 3).
    Attend(i, plan);
    // The r most similar pairs of each image become one token each, weighted by size.
    if (plan.AnyMerges(i)) Merge(i, plan);
    // x = x + MLP(LN(x)).
    Mlp(i);
  }

  const at::Tensor x = prefix_only_ ? FinishPrefix(plan, prefix) : x_.narrow(0, 0, tokens_);
  const at::Tensor tokens = at::empty(x.sizes(), kFloat);
  if (vit().norm_after_pooling) {
    tokens.copy_(x);
  } else {
    ops_.LayerNorm(x, NormOf(weights().final_norm), tokens);
  }
  if (!size_.defined() && !prefix_only_) size_ = at::ones({tokens_});
  FastPassResult result;
  for (int i = 0; i < plan.images(); ++i) {
    const Segment& image = plan.at(plan.blocks())[i];
    result.embeddings.push_back(
        prefix_only_
            ? reference_.Embedding(pooling[i], tokens.narrow(0, i * prefix, prefix), at::Tensor())
            : reference_.Embedding(pooling[i], tokens.narrow(0, image.offset, image.tokens),
                                   size_.narrow(0, image.offset, image.tokens)));
  }
  if (want_tokens_or_maps) {
    result.tokens = tokens;
    result.size = size_.clone();  // out of the arena
    result.final_row = final_row_;
  }
  return result;
}

void FastPass::Reserve(int64_t images) {
  const int64_t rows = images * vit().tokens() + kSpareRows;
  if (x_.defined() && x_.size(0) >= rows) return;
  const int64_t dim = vit().token_dim;
  const int64_t patch_pixels = int64_t{3} * vit().patch_size * vit().patch_size;
  // Zeros, so that what is multiplied behind the last row is never slower than numbers are.
  for (at::Tensor* tokens : {&x_, &merged_x_, &rows_}) {
    *tokens = at::zeros({rows, dim}, weights().compute_type);
  }
  projected_ = at::zeros({rows * std::max(3 * dim, patch_pixels)}, weights().compute_type);
  for (at::Tensor* sizes : {&sizes_[0], &sizes_[1], &log_sizes_})
    *sizes = at::zeros({rows}, kFloat);
}

void FastPass::Embed(std::span<const uint8_t* const> pixels) {
  const int64_t images = static_cast<int64_t>(pixels.size());
  const int64_t patches = images * vit().patches();
  const Preprocessing& input = vit().preprocessing;
  const at::Tensor patch_rows =
      Matrix(projected_, patches + kSpareRows, int64_t{3} * vit().patch_size * vit().patch_size);
  ops_.PatchRows(pixels, input.crop_height, input.crop_width, vit().patch_size, input.rescale,
                 input.mean, input.std, patch_rows.narrow(0, 0, patches));

  const at::Tensor x = x_.narrow(0, 0, tokens_);
  x.view({images, vit().tokens(), vit().token_dim})
      .narrow(1, 0, vit().prefix_tokens())
      .copy_(prefix_);
  const ops::Norm norm = NormOf(weights().norm_before_blocks);
  ForEachTile(Tiles(patches), [&](const RowTile& tile, const ops::TokenOps& ops) {
    const at::Tensor embedded = weights().patch_embedding.OfTile(Padded(patch_rows, tile));
    ops.AssemblePatches(embedded.narrow(0, 0, tile.rows), weights().position_embedding,
                        vit().norm_before_blocks ? &norm : nullptr, static_cast<int>(tile.first),
                        vit().prefix_tokens(), x);
  });
  ForEachTile(Tiles(tokens_), [&](const RowTile& tile, const ops::TokenOps& ops) {
    ops.LayerNorm(Own(x_, tile), NormOf(weights().blocks[0].norm1), Own(rows_, tile));
    Project(0, tile);
  });
}

void FastPass::Project(int index, const RowTile& tile) const {
  const int64_t dim = vit().token_dim;
  const at::Tensor rows = Padded(rows_, tile);
  const auto multiply = [&](const Linear& linear, int64_t outputs, int64_t offset) {
    linear.OfTile(rows, Own(Matrix(projected_, tokens_, outputs, offset), tile));
  };
  if (!IsLast(index)) return multiply(weights().blocks[index].qkv, 3 * dim, 0);
  multiply(last_key_value_, 2 * dim, 0);
  if (!prefix_only_) multiply(last_query_, dim, tokens_ * 2 * dim);
}

FastPass::Projected FastPass::ProjectedOf(int index) const {
  const int64_t dim = vit().token_dim;
  if (!IsLast(index)) {
    const at::Tensor qkv = Matrix(projected_, tokens_, 3 * dim);
    return {qkv.narrow(1, 0, dim), qkv.narrow(1, dim, dim), qkv.narrow(1, 2 * dim, dim)};
  }
  const at::Tensor key_value = Matrix(projected_, tokens_, 2 * dim);
  return {prefix_only_ ? at::Tensor() : Matrix(projected_, tokens_, dim, tokens_ * 2 * dim),
          key_value.narrow(1, 0, dim), key_value.narrow(1, dim, dim)};
}

at::Tensor FastPass::LogSize() const {
  const bool counts = size_.defined() && vit().proportional_attention;
  return counts ? log_sizes_.narrow(0, 0, tokens_) : at::Tensor();
}

void FastPass::Attend(int index, const MergePlan& plan) {
  const BlockWeights& block = weights().blocks[index];
  const Projected projected = ProjectedOf(index);
  ops_.Attention(projected.q, projected.k, projected.v, plan.at(index), LogSize(), vit().heads,
                 /*query_rows=*/0, rows_.narrow(0, 0, tokens_));
  ForEachTile(Tiles(tokens_), [&](const RowTile& tile, const ops::TokenOps& ops) {
    const at::Tensor delta = block.projection.OfTile(Padded(rows_, tile)).narrow(0, 0, tile.rows);
    if (plan.AnyMerges(index)) {
      ops.Add(Own(x_, tile), delta);
    } else {
      ops.AddLayerNorm(Own(x_, tile), delta, NormOf(block.norm2), Own(rows_, tile));
    }
  });
}

void FastPass::Merge(int index, const MergePlan& plan) {
  ops_.MatchTokens(ProjectedOf(index).k, vit().heads, plan.at(index), plan.at(index + 1),
                   plan.prefix_tokens(), &lists_);
  const int64_t after = plan.packed_tokens(index + 1);
  const at::Tensor size_after = sizes_[0].narrow(0, 0, after);
  ops_.MergeTokens(x_.narrow(0, 0, tokens_), size_, lists_, NormOf(weights().blocks[index].norm2),
                   merged_x_.narrow(0, 0, after), size_after, log_sizes_.narrow(0, 0, after),
                   rows_.narrow(0, 0, after));
  std::swap(x_, merged_x_);
  std::swap(sizes_[0], sizes_[1]);
  size_ = size_after;
  tokens_ = after;
  for (int& row : final_row_) row = lists_.row_after[row];
}

at::Tensor FastPass::MlpOf(const BlockWeights& block, const at::Tensor& rows,
                           const ops::TokenOps& ops) const {
  at::Tensor hidden = block.fc1.OfTile(rows, FusedOf(vit()));
  if (vit().mlp == VitMlp::kSwiGlu) {
    const at::Tensor gated = at::empty({rows.size(0), vit().mlp_hidden_dim}, hidden.options());
    ops.Activate(ops::Activation::kSwiGlu, hidden, gated);
    hidden = gated;
  } else if (vit().activation == VitActivation::kQuickGelu) {
    ops.Activate(ops::Activation::kQuickGelu, hidden, hidden);
  }
  return block.fc2.OfTile(hidden);
}

void FastPass::Mlp(int index) {
  ForEachTile(Tiles(tokens_), [&](const RowTile& tile, const ops::TokenOps& ops) {
    const at::Tensor delta =
        MlpOf(weights().blocks[index], Padded(rows_, tile), ops).narrow(0, 0, tile.rows);
    if (IsLast(index)) {
      ops.Add(Own(x_, tile), delta);
    } else {
      ops.AddLayerNorm(Own(x_, tile), delta, NormOf(weights().blocks[index + 1].norm1),
                       Own(rows_, tile));
      Project(index + 1, tile);
    }
  });
}

at::Tensor FastPass::FinishPrefix(const MergePlan& plan, int prefix) {
  const int last = vit().blocks - 1;
  const BlockWeights& block = weights().blocks[last];
  const int64_t count = static_cast<int64_t>(plan.images()) * prefix;
  const at::Tensor x = merged_x_.narrow(0, 0, count);
  const at::Tensor rows = at::zeros({count + kSpareRows, vit().token_dim}, x.options());
  for (int i = 0; i < plan.images(); ++i) {
    const int offset = plan.at(last)[i].offset;
    x.narrow(0, i * prefix, prefix).copy_(x_.narrow(0, offset, prefix));
    rows.narrow(0, i * prefix, prefix).copy_(rows_.narrow(0, offset, prefix));
  }

  const at::Tensor own = rows.narrow(0, 0, count);
  const Projected projected = ProjectedOf(last);
  const auto by = [](const Linear& linear) {
    return [&](const at::Tensor& tile, const ops::TokenOps&) { return linear.OfTile(tile); };
  };
  ops_.Attention(MultiplyRows(rows, count, by(last_query_)), projected.k, projected.v,
                 plan.at(last), LogSize(), vit().heads, prefix, own);
  // Prefix tokens never merge: what the others become changes nothing here.
  ops_.AddLayerNorm(x, MultiplyRows(rows, count, by(block.projection)), NormOf(block.norm2), own);
  ops_.Add(x, MultiplyRows(rows, count, [&](const at::Tensor& tile, const ops::TokenOps& ops) {
             return MlpOf(block, tile, ops);
           }));
  return x;
}

ops::Norm FastPass::NormOf(const LayerNormWeights& norm) const {
  return {norm.weight, norm.bias, vit().norm_epsilon};
}

}  // namespace tome
