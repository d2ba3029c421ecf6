#include "server/model/vit_weights.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "server/model/precision.h"

namespace tome {
namespace {

class Loader {
 public:
  Loader(const SafetensorsFile& tensors, c10::ScalarType compute_type)
      : tensors_(tensors), compute_type_(compute_type) {}

  // A copy of the tensor in `type`.
  at::Tensor Load(const std::string& name, c10::ScalarType type) const {
    const TensorView& view = *tensors_.Find(name);
    // from_blob wants a mutable pointer; the file's pages are only read.
    void* data = const_cast<std::byte*>(view.bytes.data());
    return at::from_blob(data, view.shape, at::TensorOptions().dtype(StoredType(view.type)))
        .to(type, /*non_blocking=*/false, /*copy=*/true);
  }

  at::Tensor LoadFloat(const std::string& name) const { return Load(name, c10::ScalarType::Float); }

  LayerNormWeights Norm(const std::string& module) const {
    return {.weight = LoadFloat(module + ".weight"), .bias = LoadFloat(module + ".bias")};
  }

  // Of a linear layer, or of a convolution whose stride is its kernel: one row an output.
  Linear MakeLinear(const std::string& module) const {
    return Linear(Load(module + ".weight", compute_type_).flatten(1),
                  Load(module + ".bias", compute_type_));
  }

 private:
  static c10::ScalarType StoredType(TensorType type) {
    switch (type) {
      case TensorType::kFloat16:
        return c10::ScalarType::Half;
      case TensorType::kBFloat16:
        return c10::ScalarType::BFloat16;
      default:
        return c10::ScalarType::Float;
    }
  }

  const SafetensorsFile& tensors_;
  const c10::ScalarType compute_type_;
};

}  // namespace

VitWeights LoadVitWeights(const VitDescription& vit, const SafetensorsFile& tensors,
                          c10::ScalarType compute_type) {
  const Loader loader(tensors, compute_type);
  VitWeights weights;
  weights.compute_type = compute_type;
  weights.patch_embedding = loader.MakeLinear("patch_embed.proj");

  // timm concatenates class token, distillation token and patches, then adds the position embedding
  // to all of them.
  const int prefix = vit.prefix_tokens();
  const at::Tensor positions = loader.LoadFloat("pos_embed")[0];
  std::vector<at::Tensor> prefix_tokens = {at::empty({0, vit.token_dim})};
  if (vit.class_token) prefix_tokens.push_back(loader.LoadFloat("cls_token")[0]);
  if (vit.distillation_token) prefix_tokens.push_back(loader.LoadFloat("dist_token")[0]);
  weights.prefix = at::cat(prefix_tokens).add_(positions.narrow(0, 0, prefix));
  weights.position_embedding = positions.narrow(0, prefix, vit.patches());

  for (int i = 0; i < vit.blocks; ++i) {
    const std::string block = absl::StrCat("blocks.", i, ".");
    weights.blocks.push_back({.norm1 = loader.Norm(block + "norm1"),
                              .qkv = loader.MakeLinear(block + "attn.qkv"),
                              .projection = loader.MakeLinear(block + "attn.proj"),
                              .norm2 = loader.Norm(block + "norm2"),
                              .fc1 = loader.MakeLinear(block + "mlp.fc1"),
                              .fc2 = loader.MakeLinear(block + "mlp.fc2")});
  }
  weights.final_norm = loader.Norm(vit.norm_after_pooling ? "fc_norm" : "norm");
  return weights;
}

}  // namespace tome
