#include "server/model/check_tensors.h"

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

#include "server/base/status.h"

namespace tome {

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

absl::Status MissingTensorError(absl::string_view name) {
  return absl::InvalidArgumentError(absl::StrCat(name, ": this tensor is missing"));
}

absl::Status OddShapeError(absl::string_view name, const std::vector<int64_t>& shape,
                           absl::string_view expected) {
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": shape ", ShapeText(shape), ", expected ", expected));
}

namespace {

using Shape = std::vector<int64_t>;

// Ticks off tensors, so that what is left at the end is what the pass would ignore.
class TensorCheck {
 public:
  TensorCheck(const VitLayout& layout, const TensorFiles& tensors)
      : layout_(layout), tensors_(tensors) {}

  absl::Status Expect(const std::string& name, const Shape& shape) {
    const TensorView* tensor = tensors_.Find(name);
    if (tensor == nullptr) return MissingTensorError(name);
    if (tensor->shape != shape) return OddShapeError(name, tensor->shape, ShapeText(shape));
    const bool floating = tensor->type == TensorType::kFloat32 ||
                          tensor->type == TensorType::kFloat16 ||
                          tensor->type == TensorType::kBFloat16;
    if (!floating) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": dtype ", TensorTypeName(tensor->type),
                                                     ", expected F32, F16 or BF16"));
    }
    expected_.insert(name);
    return absl::OkStatus();
  }

  // A tensor of D numbers, whatever dimensions of 1 stand around them.
  absl::Status ExpectRows(absl::string_view name, int64_t rows) {
    const std::string full = layout_.Name(name);
    const TensorView* tensor = tensors_.Find(full);
    if (tensor == nullptr) return MissingTensorError(full);
    const int64_t dim = layout_.vit.token_dim;
    for (const Shape& shape : {Shape{1, rows, dim}, Shape{rows, dim}, Shape{dim}}) {
      if (tensor->shape == shape && (rows == 1 || shape.size() > 1)) return Expect(full, shape);
    }
    return OddShapeError(full, tensor->shape, ShapeText({1, rows, dim}));
  }

  absl::Status ExpectLinear(LinearRole role, int block = 0) {
    for (const StoredLinear& stored : layout_.Linear(role, block)) {
      TOME_RETURN_IF_ERROR(Expect(stored.weight, stored.weight_shape));
      if (!stored.bias.empty()) {
        TOME_RETURN_IF_ERROR(Expect(stored.bias, {stored.weight_shape[0]}));
      }
    }
    const std::string scale = layout_.Scale(role, block);
    return scale.empty() ? absl::OkStatus() : Expect(scale, {layout_.vit.token_dim});
  }

  absl::Status ExpectNorm(NormRole role, int block = 0) {
    const std::string module = layout_.Norm(role, block);
    TOME_RETURN_IF_ERROR(Expect(module + ".weight", {layout_.vit.token_dim}));
    return Expect(module + ".bias", {layout_.vit.token_dim});
  }

  absl::Status NothingElse() const {
    for (const std::string& name : tensors_.names()) {
      if (!expected_.contains(name) && !IsUnused(name)) {
        return absl::InvalidArgumentError(
            absl::StrCat(name, ": a model of the family \"", layout_.vit.family,
                         "\" has no such tensor; the model does something that this server does "
                         "not support"));
      }
    }
    return absl::OkStatus();
  }

 private:
  bool IsUnused(absl::string_view name) const {
    absl::string_view behind_prefix = name;
    absl::ConsumePrefix(&behind_prefix, layout_.prefix);
    for (const absl::string_view unused : layout_.names->unused) {
      if (absl::StartsWith(name, unused) || absl::StartsWith(behind_prefix, unused)) return true;
    }
    return false;
  }

  const VitLayout& layout_;
  const TensorFiles& tensors_;
  std::set<std::string> expected_;
};

}  // namespace

absl::Status CheckTensors(const VitLayout& layout, const TensorFiles& tensors) {
  const VitDescription& vit = layout.vit;
  TensorCheck check(layout, tensors);
  TOME_RETURN_IF_ERROR(check.ExpectLinear(LinearRole::kPatchEmbedding));
  if (vit.class_token) TOME_RETURN_IF_ERROR(check.ExpectRows(layout.names->class_token, 1));
  if (vit.distillation_token) {
    TOME_RETURN_IF_ERROR(check.ExpectRows(layout.names->distillation_token, 1));
  }
  if (vit.register_tokens > 0) {
    TOME_RETURN_IF_ERROR(check.ExpectRows(layout.names->register_tokens, vit.register_tokens));
  }
  TOME_RETURN_IF_ERROR(
      check.Expect(layout.Name(layout.names->position_embedding), layout.position_shape));
  if (vit.norm_before_blocks) TOME_RETURN_IF_ERROR(check.ExpectNorm(NormRole::kBeforeBlocks));
  for (int i = 0; i < vit.blocks; ++i) {
    TOME_RETURN_IF_ERROR(check.ExpectNorm(NormRole::kNorm1, i));
    TOME_RETURN_IF_ERROR(check.ExpectLinear(LinearRole::kQkv, i));
    TOME_RETURN_IF_ERROR(check.ExpectLinear(LinearRole::kAttentionProjection, i));
    TOME_RETURN_IF_ERROR(check.ExpectNorm(NormRole::kNorm2, i));
    TOME_RETURN_IF_ERROR(check.ExpectLinear(LinearRole::kFc1, i));
    TOME_RETURN_IF_ERROR(check.ExpectLinear(LinearRole::kFc2, i));
  }
  TOME_RETURN_IF_ERROR(check.ExpectNorm(NormRole::kFinal));
  if (vit.attention_pooling) {
    TOME_RETURN_IF_ERROR(check.ExpectRows(layout.names->pool_probe, 1));
    for (const LinearRole role :
         {LinearRole::kPoolQuery, LinearRole::kPoolKeyValue, LinearRole::kPoolProjection,
          LinearRole::kPoolFc1, LinearRole::kPoolFc2}) {
      TOME_RETURN_IF_ERROR(check.ExpectLinear(role));
    }
    TOME_RETURN_IF_ERROR(check.ExpectNorm(NormRole::kPool));
  }
  if (vit.projection_dim > 0) TOME_RETURN_IF_ERROR(check.ExpectLinear(LinearRole::kProjection));
  return check.NothingElse();
}

}  // namespace tome
