#include "server/cuda/pass.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "server/cuda/failure.h"
#include "server/kernels/activation.h"
#include "server/kernels/assemble_tokens.h"
#include "server/kernels/attention.h"
#include "server/kernels/compose_map.h"
#include "server/kernels/gather_rows.h"
#include "server/kernels/layer_norm.h"
#include "server/kernels/merge_tokens.h"
#include "server/kernels/patch_rows.h"
#include "server/kernels/pool.h"
#include "server/kernels/token_match.h"

namespace tome::cuda {
namespace {

using ComputeType = kernels::ElementType;

// Element `index` of an array of T.
void* At(void* array, size_t index, ComputeType type) {
  return static_cast<std::byte*>(array) + index * kernels::ElementBytes(type);
}

int Patches(const Model& model) { return model.grid_height * model.grid_width; }

float AttentionScale(const Model& model) {
  return 1.0f / std::sqrt(static_cast<float>(model.token_dim / model.heads));
}

}  // namespace

// The packed tokens on their way through the blocks.
struct Pass::Tokens {
  void* x = nullptr;      // T [T, D]
  void* spare = nullptr;  // T [T, D], for the next merge
  float* size = nullptr;  // [T], null: nothing merged yet, all ones
  float* spare_size = nullptr;
  const float* log_size = nullptr;  // [T] what attention adds to the logits; null: nothing
};

Pass::Pass(const Model& model, const Options& options, Weights& weights,
           const Activations& activations)
    : model_(model), type_(KernelType(options.type)), weights_(weights), a_(activations) {}

void Pass::ReadPixels(const uint8_t* pixels, int images, cudaStream_t stream,
                      StepTimer& timer) const {
  kernels::PatchRowsArgs args{.type = type_,
                              .pixels = pixels,
                              .rows = a_.wide,
                              .images = images,
                              .height = model_.grid_height * model_.patch_size,
                              .width = model_.grid_width * model_.patch_size,
                              .patch_size = model_.patch_size,
                              .row_stride = PatchRowStride(model_)};
  for (size_t channel = 0; channel < 3; ++channel) {
    args.scale[channel] = model_.pixel_scale[channel];
    args.shift[channel] = model_.pixel_shift[channel];
  }
  Check(kernels::PatchRows(args, stream), "reading pixels");
  timer.Step("patch rows", stream);
}

void Pass::Run(const PassPlan& plan, cudaStream_t stream, StepTimer& timer) const {
  const int images = plan.images();
  Tokens tokens{.x = a_.x, .spare = a_.spare, .spare_size = a_.size[0]};

  // x = [prefix; patches W + b] + position embedding.
  weights_.patch_embedding.Run(a_.wide, a_.spare, images * Patches(model_), stream);
  timer.Step("patch embedding", stream);
  Check(kernels::AssembleTokens({.type = type_,
                                 .patch_embeddings = a_.spare,
                                 .prefix = weights_.prefix,
                                 .position = weights_.position,
                                 .norm_weight = weights_.norm_before_blocks.weight,
                                 .norm_bias = weights_.norm_before_blocks.bias,
                                 .epsilon = model_.norm_epsilon,
                                 .x = tokens.x,
                                 .images = images,
                                 .patches = Patches(model_),
                                 .prefix_tokens = model_.prefix_tokens,
                                 .width = model_.token_dim},
                                stream),
        "assembling tokens");
  timer.Step("assemble tokens", stream);

  for (int i = 0; i < plan.blocks(); ++i) {
    DeviceBlock& block = weights_.blocks[i];
    // Where only an image's first rows are pooled, the last block's others serve as keys and values
    // alone, and what they would merge into is of no matter.
    const bool first_rows_only = plan.pooled_rows() > 0 && i == plan.blocks() - 1;

    // x = x + Attention(LN(x)) with log(size) added to each key's logit (ToMe, section 3).
    LayerNorm(tokens.x, block.norm1, a_.normed, type_, plan.packed_tokens(i), stream);
    timer.Step("norm", stream);
    block.qkv.Run(a_.normed, a_.wide, plan.packed_tokens(i), stream);
    timer.Step("qkv", stream);
    Attend(plan, i, tokens, stream, timer);
    int rows = plan.packed_tokens(i);
    if (first_rows_only) {
      KeepFirstRows(plan, tokens, stream, timer);
      rows = images * plan.pooled_rows();
    }
    block.projection.Run(a_.normed, tokens.x, rows, stream);
    timer.Step("projection", stream);

    // The r most similar pairs of each image become one token each, weighted by size.
    if (plan.AnyMerges(i) && !first_rows_only) {
      Merge(block, plan, i, tokens, stream, timer);
      rows = plan.packed_tokens(i + 1);
    } else {
      LayerNorm(tokens.x, block.norm2, a_.normed, type_, rows, stream);
      timer.Step("norm", stream);
    }

    // x = x + MLP(LN(x)).
    Mlp(block.fc1, block.fc2, model_.activation, tokens.x, rows, stream, timer);
  }

  for (const PoolingGroup& group : plan.groups()) Pool(plan, group, tokens, stream, timer);
  if (plan.want_tokens()) CopyTokens(plan, tokens, stream);
  if (plan.want_merge_map() && tokens.size != nullptr) {
    Check(cudaMemcpyAsync(a_.final_size, tokens.size,
                          plan.packed_tokens(plan.blocks()) * sizeof(float),
                          cudaMemcpyDeviceToDevice, stream),
          "copying sizes");
  }
}

// Attention's values, before the projection, in normed: of all rows, or of the pooled ones alone.
void Pass::Attend(const PassPlan& plan, int index, const Tokens& tokens, cudaStream_t stream,
                  StepTimer& timer) const {
  const int d = model_.token_dim;
  const bool first_rows_only = plan.pooled_rows() > 0 && index == plan.blocks() - 1;
  Check(kernels::Attention(
            {.type = type_,
             .q = a_.wide,
             .k = At(a_.wide, d, type_),
             .v = At(a_.wide, 2 * static_cast<size_t>(d), type_),
             .q_stride = 3 * d,
             .k_stride = 3 * d,
             .v_stride = 3 * d,
             .segments = a_.segments + plan.BlockOffset(index),
             .log_size = tokens.log_size,
             .out = a_.normed,
             .queries = first_rows_only ? kernels::Queries::kFirstRows : kernels::Queries::kAllRows,
             .query_rows = plan.pooled_rows(),
             .images = plan.images(),
             .max_tokens = plan.max_tokens(index),
             .heads = model_.heads,
             .head_size = d / model_.heads,
             .scale = AttentionScale(model_)},
            stream),
        "attention");
  timer.Step("attention", stream);
}

// Of the last block's rows the pooled ones are left, packed.
void Pass::KeepFirstRows(const PassPlan& plan, Tokens& tokens, cudaStream_t stream,
                         StepTimer& timer) const {
  Check(kernels::GatherRows({.type = type_,
                             .x = tokens.x,
                             .segments = a_.segments + plan.BlockOffset(plan.blocks() - 1),
                             .out = tokens.spare,
                             .images = plan.images(),
                             .rows = plan.pooled_rows(),
                             .width = model_.token_dim},
                            stream),
        "gathering the pooled rows");
  std::swap(tokens.x, tokens.spare);
  timer.Step("gather rows", stream);
}

void Pass::LayerNorm(const void* x, const DeviceNorm& norm, void* out,
                     kernels::ElementType out_type, int rows, cudaStream_t stream) const {
  Check(kernels::LayerNorm({.type = type_,
                            .out_type = out_type,
                            .x = x,
                            .out = out,
                            .weight = norm.weight,
                            .bias = norm.bias,
                            .epsilon = model_.norm_epsilon,
                            .rows = rows,
                            .width = model_.token_dim},
                           stream),
        "layer norm");
}

// Leaves norm2 of the merged tokens in normed.
void Pass::Merge(const DeviceBlock& block, const PassPlan& plan, int index, Tokens& tokens,
                 cudaStream_t stream, StepTimer& timer) const {
  const int d = model_.token_dim;
  Check(kernels::MatchTokens({.type = type_,
                              .keys = At(a_.wide, d, type_),
                              .key_stride = 3 * d,
                              .heads = model_.heads,
                              .head_size = d / model_.heads,
                              .segments = a_.segments + plan.BlockOffset(index),
                              .segments_after = a_.segments + plan.BlockOffset(index + 1),
                              .images = plan.images(),
                              .max_tokens = plan.max_tokens(index),
                              .packed_tokens = plan.packed_tokens(index),
                              .prefix_tokens = model_.prefix_tokens,
                              .workspace = a_.match_workspace,
                              .own_row = a_.own_row,
                              .first_source = a_.first_source,
                              .source_count = a_.source_count,
                              .source_row = a_.source_row,
                              .row_after = a_.row_after},
                             stream),
        "matching tokens");
  timer.Step("match", stream);
  Check(kernels::MergeTokens({.type = type_,
                              .x = tokens.x,
                              .size = tokens.size,
                              .own_row = a_.own_row,
                              .first_source = a_.first_source,
                              .source_count = a_.source_count,
                              .source_row = a_.source_row,
                              .norm_weight = block.norm2.weight,
                              .norm_bias = block.norm2.bias,
                              .epsilon = model_.norm_epsilon,
                              .x_out = tokens.spare,
                              .size_out = tokens.spare_size,
                              .log_size_out = a_.log_size,
                              .normed = a_.normed,
                              .rows_out = plan.packed_tokens(index + 1),
                              .width = d},
                             stream),
        "merging tokens");
  timer.Step("merge and norm", stream);
  if (plan.want_merge_map()) {
    Check(kernels::ComposeMap(
              {.group = a_.group, .row_after = a_.row_after, .tokens = plan.packed_tokens(0)},
              stream),
          "composing the merge map");
  }
  std::swap(tokens.x, tokens.spare);
  float* const merged_size = tokens.spare_size;
  tokens.spare_size = tokens.size != nullptr ? tokens.size : a_.size[1];
  tokens.size = merged_size;
  if (model_.proportional_attention) tokens.log_size = a_.log_size;
}

// x = x + fc2(activation(fc1(normed))).
void Pass::Mlp(LinearLayer& fc1, LinearLayer& fc2, Activation activation, void* x, int rows,
               cudaStream_t stream, StepTimer& timer) const {
  fc1.Run(a_.normed, a_.wide, rows, stream);
  timer.Step("fc1", stream);
  const void* inner = a_.wide;
  if (activation != Activation::kGeluTanh) {  // which fc1 does itself
    kernels::ActivationArgs args{
        .type = type_, .in = a_.wide, .out = a_.wide, .rows = rows, .width = model_.mlp_hidden_dim};
    if (activation == Activation::kQuickGelu) args.kind = kernels::ActivationKind::kQuickGelu;
    if (activation == Activation::kSwiGlu) {
      args.kind = kernels::ActivationKind::kSwiGlu;
      args.out = a_.gated;
    }
    Check(kernels::Activation(args, stream), "activation");
    timer.Step("activation", stream);
    inner = args.out;
  }
  fc2.Run(inner, x, rows, stream);
  timer.Step("fc2", stream);
}

// The group's embeddings, one row an image behind those of the groups before it.
void Pass::Pool(const PassPlan& plan, const PoolingGroup& group, const Tokens& tokens,
                cudaStream_t stream, StepTimer& timer) const {
  const size_t d = model_.token_dim;
  const ptrdiff_t rows = plan.pooled_rows() > 0 ? plan.PooledRowsOffset() : plan.FinalRowsOffset();
  kernels::PoolArgs args{
      .type = type_,
      .norm = model_.norm_after_pooling ? kernels::PoolNorm::kAfter : kernels::PoolNorm::kBefore,
      .x = tokens.x,
      .size = tokens.size,
      .segments = a_.segments + rows + group.first,
      .norm_weight = weights_.final_norm.weight,
      .norm_bias = weights_.final_norm.bias,
      .epsilon = model_.norm_epsilon,
      .out = a_.pooled + group.first * d,
      .images = group.images,
      .prefix_tokens = model_.prefix_tokens,
      .width = model_.token_dim};
  switch (group.pooling) {
    case Pooling::kClassToken:
      args.pooling = kernels::Pooling::kClassToken;
      break;
    case Pooling::kMeanOfClassTokens:
      args.pooling = kernels::Pooling::kMeanOfClassTokens;
      break;
    case Pooling::kMeanOfPatches:
      args.pooling = kernels::Pooling::kMeanOfPatches;
      break;
    case Pooling::kAttention:
      // One row an image is left, which the kernel only makes float32.
      AttendToTokens(plan, group, tokens, stream, timer);
      args.pooling = kernels::Pooling::kClassToken;
      args.x = tokens.spare;
      args.segments = a_.segments + plan.SingleRowsOffset();
      if (!model_.norm_after_pooling) {
        args.norm = kernels::PoolNorm::kNone;
        args.norm_weight = nullptr;
        args.norm_bias = nullptr;
      }
      break;
  }
  Check(kernels::Pool(args, stream), "pooling");
  timer.Step("pool", stream);
  if (model_.IsProjected(group.pooling)) {
    weights_.output_projection.Run(
        a_.pooled + group.first * d,
        a_.projected + static_cast<size_t>(group.first) * model_.projection_dim, group.images,
        stream);
    timer.Step("output projection", stream);
  }
}

// y = projection(attention of the model's one query to all tokens); y = y + MLP(LN(y)). Leaves y in
// the spare rows: T [the group's images, D].
void Pass::AttendToTokens(const PassPlan& plan, const PoolingGroup& group, const Tokens& tokens,
                          cudaStream_t stream, StepTimer& timer) const {
  const int d = model_.token_dim;
  const int rows = plan.packed_tokens(plan.blocks());
  const void* keys_from = tokens.x;
  if (!model_.norm_after_pooling) {
    LayerNorm(tokens.x, weights_.final_norm, a_.normed, type_, rows, stream);
    keys_from = a_.normed;
  }
  weights_.pool_key_value.Run(keys_from, a_.wide, rows, stream);
  Check(kernels::Attention({.type = type_,
                            .q = weights_.pool_query,
                            .k = a_.wide,
                            .v = At(a_.wide, d, type_),
                            .q_stride = d,
                            .k_stride = 2 * d,
                            .v_stride = 2 * d,
                            .segments = a_.segments + plan.FinalRowsOffset() + group.first,
                            .log_size = tokens.log_size,
                            .out = a_.normed,
                            .queries = kernels::Queries::kShared,
                            .query_rows = 1,
                            .images = group.images,
                            .max_tokens = plan.max_tokens(plan.blocks()),
                            .heads = model_.heads,
                            .head_size = d / model_.heads,
                            .scale = AttentionScale(model_)},
                           stream),
        "attention pooling");
  weights_.pool_projection.Run(a_.normed, tokens.spare, group.images, stream);
  timer.Step("attention pooling", stream);
  LayerNorm(tokens.spare, weights_.pool_norm, a_.normed, type_, group.images, stream);
  Mlp(weights_.pool_fc1, weights_.pool_fc2,
      model_.activation == Activation::kSwiGlu ? Activation::kGelu : model_.activation,
      tokens.spare, group.images, stream, timer);
}

void Pass::CopyTokens(const PassPlan& plan, const Tokens& tokens, cudaStream_t stream) const {
  const int rows = plan.packed_tokens(plan.blocks());
  if (!model_.norm_after_pooling) {
    LayerNorm(tokens.x, weights_.final_norm, a_.wide, ComputeType::kFloat32, rows, stream);
    return;
  }
  Check(cudaMemcpyAsync(a_.wide, tokens.x,
                        static_cast<size_t>(rows) * model_.token_dim * kernels::ElementBytes(type_),
                        cudaMemcpyDeviceToDevice, stream),
        "copying tokens");
}

}  // namespace tome::cuda
