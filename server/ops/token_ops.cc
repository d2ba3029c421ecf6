#include "server/ops/token_ops.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <new>

#include "server/kernels/cpu/attention.h"
#include "server/kernels/cpu/embed.h"
#include "server/kernels/cpu/layer_norm.h"
#include "server/kernels/cpu/merge_tokens.h"
#include "server/kernels/cpu/token_match.h"

namespace tome::ops {
namespace {

namespace cpu = kernels::cpu;
using kernels::ElementType;

constexpr auto kScratchAlignment = std::align_val_t(64);

ElementType TypeOf(const at::Tensor& tensor) {
  if (tensor.scalar_type() == c10::ScalarType::Float) return ElementType::kFloat32;
  TORCH_CHECK(tensor.scalar_type() == c10::ScalarType::BFloat16, "tokens are ",
              tensor.scalar_type());
  return ElementType::kBFloat16;
}

// [rows, columns] of x's type, each row dense; the rows may lie apart.
void CheckRows(const at::Tensor& tensor, int64_t rows, int64_t columns, const at::Tensor& like) {
  TORCH_CHECK(tensor.dim() == 2 && tensor.size(0) == rows && tensor.size(1) == columns,
              "expected [", rows, ", ", columns, "], got ", tensor.sizes());
  TORCH_CHECK(tensor.stride(1) == 1 || columns == 1, "rows are not dense");
  TORCH_CHECK(tensor.scalar_type() == like.scalar_type(), "types differ");
}

void CheckDense(const at::Tensor& tensor, int64_t rows, int64_t columns, const at::Tensor& like) {
  CheckRows(tensor, rows, columns, like);
  TORCH_CHECK(tensor.is_contiguous(), "rows lie apart");
}

// A float32 vector, or null of an undefined tensor.
float* Floats(const at::Tensor& tensor, int64_t count) {
  if (!tensor.defined()) return nullptr;
  TORCH_CHECK(tensor.scalar_type() == c10::ScalarType::Float && tensor.is_contiguous() &&
                  tensor.numel() == count,
              "expected ", count, " float32, got ", tensor.sizes());
  return tensor.mutable_data_ptr<float>();
}

int Rows(std::span<const Segment> images) {
  return images.empty() ? 0 : images.back().offset + images.back().tokens;
}

int Longest(std::span<const Segment> images) {
  int longest = 0;
  for (const Segment& image : images) longest = std::max(longest, image.tokens);
  return longest;
}

int Size(const at::Tensor& tensor, int dim) { return static_cast<int>(tensor.size(dim)); }
int Stride(const at::Tensor& tensor) { return static_cast<int>(tensor.stride(0)); }

}  // namespace

void TokenOps::Free::operator()(void* memory) const {
  ::operator delete(memory, kScratchAlignment);
}

void* TokenOps::Scratch(size_t bytes) {
  if (bytes > scratch_bytes_) {
    scratch_.reset();
    scratch_.reset(::operator new(bytes, kScratchAlignment));
    scratch_bytes_ = bytes;
  }
  return scratch_.get();
}

void TokenOps::Attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                         std::span<const Segment> images, const at::Tensor& log_size, int heads,
                         int query_rows, const at::Tensor& out) {
  const int rows = Rows(images);
  const int64_t dim = k.size(1);
  const int64_t out_rows = query_rows > 0 ? static_cast<int64_t>(images.size()) * query_rows : rows;
  CheckRows(q, out_rows, dim, k);
  CheckRows(k, rows, dim, k);
  CheckRows(v, rows, dim, k);
  CheckDense(out, out_rows, dim, k);
  TORCH_CHECK(dim % heads == 0, heads, " heads of ", dim);
  const int head_size = static_cast<int>(dim) / heads;
  void* scratch =
      Scratch(cpu::AttentionScratchBytes(Longest(images), head_size, threads_.workers()));
  cpu::Attention({.type = TypeOf(k),
                  .q = q.const_data_ptr(),
                  .k = k.const_data_ptr(),
                  .v = v.const_data_ptr(),
                  .q_stride = Stride(q),
                  .k_stride = Stride(k),
                  .v_stride = Stride(v),
                  .segments = images,
                  .log_size = Floats(log_size, rows),
                  .out = out.mutable_data_ptr(),
                  .query_rows = query_rows,
                  .heads = heads,
                  .head_size = head_size,
                  .scale = 1.0f / std::sqrt(static_cast<float>(head_size)),
                  .scratch = scratch},
                 compute());
}

void TokenOps::MatchTokens(const at::Tensor& keys, int heads, std::span<const Segment> before,
                           std::span<const Segment> after, int prefix_tokens, MergeLists* lists) {
  const int rows = Rows(before);
  const int rows_after = Rows(after);
  CheckRows(keys, rows, keys.size(1), keys);
  TORCH_CHECK(keys.size(1) % heads == 0, heads, " heads of ", keys.size(1));
  const int head_size = Size(keys, 1) / heads;
  for (std::vector<int>* list : {&lists->own_row, &lists->first_source, &lists->source_count}) {
    list->resize(rows_after);
  }
  lists->source_row.resize(rows);
  lists->row_after.resize(rows);
  void* scratch =
      Scratch(cpu::TokenMatchScratchBytes(static_cast<int>(before.size()), rows, head_size));
  cpu::MatchTokens({.type = TypeOf(keys),
                    .keys = keys.const_data_ptr(),
                    .key_stride = Stride(keys),
                    .heads = heads,
                    .head_size = head_size,
                    .segments = before,
                    .segments_after = after,
                    .prefix_tokens = prefix_tokens,
                    .scratch = scratch,
                    .own_row = lists->own_row.data(),
                    .first_source = lists->first_source.data(),
                    .source_count = lists->source_count.data(),
                    .source_row = lists->source_row.data(),
                    .row_after = lists->row_after.data()},
                   compute());
}

void TokenOps::MergeTokens(const at::Tensor& x, const at::Tensor& size, const MergeLists& lists,
                           const Norm& norm, const at::Tensor& x_out, const at::Tensor& size_out,
                           const at::Tensor& log_size_out, const at::Tensor& normed) {
  const int64_t dim = x.size(1);
  const int64_t rows_out = static_cast<int64_t>(lists.own_row.size());
  CheckDense(x, static_cast<int64_t>(lists.row_after.size()), dim, x);
  CheckDense(x_out, rows_out, dim, x);
  CheckDense(normed, rows_out, dim, x);
  cpu::MergeTokens({.type = TypeOf(x),
                    .x = x.const_data_ptr(),
                    .size = Floats(size, x.size(0)),
                    .own_row = lists.own_row.data(),
                    .first_source = lists.first_source.data(),
                    .source_count = lists.source_count.data(),
                    .source_row = lists.source_row.data(),
                    .norm_weight = Floats(norm.weight, dim),
                    .norm_bias = Floats(norm.bias, dim),
                    .epsilon = static_cast<float>(norm.epsilon),
                    .x_out = x_out.mutable_data_ptr(),
                    .size_out = Floats(size_out, rows_out),
                    .log_size_out = Floats(log_size_out, rows_out),
                    .normed = normed.mutable_data_ptr(),
                    .rows_out = static_cast<int>(rows_out),
                    .width = static_cast<int>(dim)},
                   compute());
}

void TokenOps::Add(const at::Tensor& x, const at::Tensor& delta) const {
  Norms(x, &delta, nullptr, nullptr);
}

void TokenOps::LayerNorm(const at::Tensor& x, const Norm& norm, const at::Tensor& out) const {
  Norms(x, nullptr, &norm, &out);
}

void TokenOps::AddLayerNorm(const at::Tensor& x, const at::Tensor& delta, const Norm& norm,
                            const at::Tensor& out) const {
  Norms(x, &delta, &norm, &out);
}

void TokenOps::Norms(const at::Tensor& x, const at::Tensor* delta, const Norm* norm,
                     const at::Tensor* out) const {
  const int64_t dim = x.size(1);
  CheckDense(x, x.size(0), dim, x);
  cpu::LayerNormArgs args = {.type = TypeOf(x),
                             .x = x.mutable_data_ptr(),
                             .rows = Size(x, 0),
                             .width = static_cast<int>(dim)};
  if (delta != nullptr) {
    CheckDense(*delta, x.size(0), dim, x);
    args.delta = delta->const_data_ptr();
  }
  if (out != nullptr) {
    CheckDense(*out, x.size(0), dim, *out);
    args.out_type = TypeOf(*out);
    TORCH_CHECK(args.out_type == ElementType::kFloat32 || args.out_type == args.type, "a norm of ",
                x.scalar_type(), " gives ", out->scalar_type());
    args.out = out->mutable_data_ptr();
    args.weight = Floats(norm->weight, dim);
    args.bias = Floats(norm->bias, dim);
    args.epsilon = static_cast<float>(norm->epsilon);
  }
  cpu::LayerNorm(args, compute());
}

void TokenOps::Activate(Activation activation, const at::Tensor& in, const at::Tensor& out) const {
  const int64_t width = out.size(1);
  CheckDense(in, out.size(0), activation == Activation::kSwiGlu ? 2 * width : width, out);
  CheckDense(out, out.size(0), width, in);
  cpu::Activate({.type = TypeOf(in),
                 .activation = activation,
                 .in = in.const_data_ptr(),
                 .out = out.mutable_data_ptr(),
                 .rows = Size(out, 0),
                 .width = static_cast<int>(width)},
                compute());
}

void TokenOps::PatchRows(std::span<const uint8_t* const> pixels, int height, int width,
                         int patch_size, const std::array<float, 3>& mean,
                         const std::array<float, 3>& std, const at::Tensor& rows) const {
  const int64_t patches = static_cast<int64_t>(height / patch_size) * (width / patch_size);
  CheckDense(rows, static_cast<int64_t>(pixels.size()) * patches,
             static_cast<int64_t>(3) * patch_size * patch_size, rows);
  cpu::PatchRows({.type = TypeOf(rows),
                  .pixels = pixels,
                  .rows = rows.mutable_data_ptr(),
                  .height = height,
                  .width = width,
                  .patch_size = patch_size,
                  .mean = mean,
                  .std = std},
                 compute());
}

void TokenOps::AssemblePatches(const at::Tensor& embeddings, const at::Tensor& position,
                               const Norm* norm, int first_row, int prefix_tokens,
                               const at::Tensor& x) const {
  const int64_t dim = x.size(1);
  const int64_t patches = position.size(0);
  const int64_t images = x.size(0) / (prefix_tokens + patches);
  CheckDense(x, images * (prefix_tokens + patches), dim, embeddings);
  CheckDense(embeddings, embeddings.size(0), dim, x);
  TORCH_CHECK(first_row + embeddings.size(0) <= images * patches, "more patches than images hold");
  cpu::AssemblePatches({.type = TypeOf(x),
                        .embeddings = embeddings.const_data_ptr(),
                        .position = Floats(position, patches * dim),
                        .norm_weight = norm == nullptr ? nullptr : Floats(norm->weight, dim),
                        .norm_bias = norm == nullptr ? nullptr : Floats(norm->bias, dim),
                        .epsilon = norm == nullptr ? 0.0f : static_cast<float>(norm->epsilon),
                        .x = x.mutable_data_ptr(),
                        .first_row = first_row,
                        .rows = Size(embeddings, 0),
                        .patches = static_cast<int>(patches),
                        .prefix_tokens = prefix_tokens,
                        .width = static_cast<int>(dim)},
                       compute());
}

}  // namespace tome::ops
