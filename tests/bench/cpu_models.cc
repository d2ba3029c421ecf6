#include "tests/bench/cpu_models.h"

#include <cmath>
#include <cstdint>
#include <random>

#include "absl/strings/str_cat.h"

#include "tests/model/test_checkpoint.h"

namespace tome {
namespace {

constexpr int kPatch = 16;
constexpr int kTokens = 197;
constexpr int kBlocks = 12;

}  // namespace

const std::vector<BenchModel>& BenchModels() {
  static const std::vector<BenchModel>& models =
      *new std::vector<BenchModel>{{"Ti16", 192, 3}, {"S16", 384, 6}, {"B16", 768, 12}};
  return models;
}

Checkpoint MakeCheckpoint(const BenchModel& model) {
  const int64_t dim = model.token_dim;
  std::mt19937 random(1);
  TestCheckpoint checkpoint;
  checkpoint.tensors.clear();
  // Uniform, of the scale that keeps a layer's outputs near 1.
  const auto add = [&](const std::string& name, const std::vector<int64_t>& shape, float mean) {
    int64_t count = 1;
    for (const int64_t dimension : shape) count *= dimension;
    const float scale = 1.7f / std::sqrt(static_cast<float>(count / shape[0]));
    TestTensor& tensor = checkpoint.tensors[name];
    tensor.shape = shape;
    tensor.values.reserve(count);
    for (int64_t i = 0; i < count; ++i) {
      const float uniform = static_cast<float>(random() >> 8) / static_cast<float>(1 << 23) - 1.0f;
      tensor.values.push_back(mean + (shape.size() == 1 ? 0.1f : scale) * uniform);
    }
  };
  const auto add_linear = [&](const std::string& name, const std::vector<int64_t>& shape) {
    add(name + ".weight", shape, 0.0f);
    add(name + ".bias", {shape[0]}, 0.0f);
  };
  const auto add_norm = [&](const std::string& name) {
    add(name + ".weight", {dim}, 1.0f);
    add(name + ".bias", {dim}, 0.0f);
  };
  add_linear("patch_embed.proj", {dim, 3, kPatch, kPatch});
  add("cls_token", {1, 1, dim}, 0.0f);
  add("pos_embed", {1, kTokens, dim}, 0.0f);
  for (int i = 0; i < kBlocks; ++i) {
    const std::string block = absl::StrCat("blocks.", i, ".");
    add_norm(block + "norm1");
    add_linear(block + "attn.qkv", {3 * dim, dim});
    add_linear(block + "attn.proj", {dim, dim});
    add_norm(block + "norm2");
    add_linear(block + "mlp.fc1", {4 * dim, dim});
    add_linear(block + "mlp.fc2", {dim, 4 * dim});
  }
  add_norm("norm");
  checkpoint.config = absl::StrCat(
      R"({"architecture": "vit_base_patch16_224", "num_classes": 0, "num_features": )", dim,
      R"(, "global_pool": "token", "model_args": {"img_size": [224, 224], "patch_size": 16, )",
      R"("embed_dim": )", dim, R"(, "depth": 12, "num_heads": )", model.heads,
      R"(}, "pretrained_cfg": {"tag": "augreg_in21k_ft_in1k", "input_size": [3, 224, 224], )",
      R"("interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center", )",
      R"("mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}})");
  // The mapped file outlives its folder.
  const TemporaryDirectory directory;
  checkpoint.Write(directory);
  return OpenCheckpoint(directory.path()).value();
}

}  // namespace tome
