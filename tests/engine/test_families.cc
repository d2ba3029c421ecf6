#include "tests/engine/test_families.h"

#include <cstdint>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"

namespace tome {
namespace {

constexpr int64_t kDim = 32;
constexpr int64_t kHidden = 64;
constexpr int kBlocks = 2;

// Changes a checkpoint; what it adds is seeded by its name.
class Changes {
 public:
  explicit Changes(TestCheckpoint& checkpoint) : checkpoint_(checkpoint) {}

  Changes& Add(const std::string& name, const std::vector<int64_t>& shape, float mean = 0.0f,
               float deviation = 0.2f) {
    int64_t count = 1;
    for (const int64_t dimension : shape) count *= dimension;
    std::seed_seq seed(name.begin(), name.end());
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(mean, deviation);
    TestTensor& tensor = checkpoint_.tensors[name];
    tensor.shape = shape;
    tensor.values.resize(count);
    for (float& value : tensor.values) value = normal(random);
    return *this;
  }
  Changes& AddLayer(const std::string& module, int64_t outputs, int64_t inputs) {
    return Add(module + ".weight", {outputs, inputs}).Add(module + ".bias", {outputs});
  }
  Changes& AddNorm(const std::string& module, int64_t width = kDim) {
    return Add(module + ".weight", {width}, 1.0f).Add(module + ".bias", {width});
  }
  Changes& Remove(const std::string& name) {
    checkpoint_.tensors.erase(name);
    return *this;
  }
  Changes& Configure(absl::string_view before, absl::string_view after) {
    checkpoint_.config = absl::StrReplaceAll(checkpoint_.config, {{before, after}});
    return *this;
  }
  Changes& Architecture(absl::string_view name, absl::string_view tag) {
    return Configure("vit_tiny_patch16_224", name).Configure("augreg_in21k_ft_in1k", tag);
  }
  Changes& Pool(absl::string_view pool) {
    return Configure("\"global_pool\": \"token\"", absl::StrCat("\"global_pool\": \"", pool, "\""));
  }

 private:
  TestCheckpoint& checkpoint_;
};

TestCheckpoint DistilledDeit() {
  TestCheckpoint checkpoint;
  Changes(checkpoint)
      .Architecture("deit_tiny_distilled_patch16_224", "fb_in1k")
      .Add("dist_token", {1, 1, kDim})
      .Add("pos_embed", {1, 18, kDim});
  return checkpoint;
}

TestCheckpoint MeanOfPatchesThenNorm() {
  TestCheckpoint checkpoint;
  Changes(checkpoint).Pool("avg").Remove("norm.weight").Remove("norm.bias").AddNorm("fc_norm");
  return checkpoint;
}

TestCheckpoint Dinov2() {
  TestCheckpoint checkpoint;
  Changes changes(checkpoint);
  changes.Architecture("vit_small_patch14_reg4_dinov2", "lvd142m").Add("reg_token", {1, 4, kDim});
  changes.Add("pos_embed", {1, 16, kDim});
  for (int i = 0; i < kBlocks; ++i) {
    const std::string block = absl::StrCat("blocks.", i, ".");
    changes.Add(block + "ls1.gamma", {kDim}, 0.5f).Add(block + "ls2.gamma", {kDim}, 0.5f);
  }
  return checkpoint;
}

TestCheckpoint Dinov2Giant() {
  TestCheckpoint checkpoint = Dinov2();
  for (int i = 0; i < kBlocks; ++i) {
    const std::string block = absl::StrCat("blocks.", i, ".");
    Changes(checkpoint).Add(block + "mlp.fc2.weight", {kDim, kHidden / 2});
  }
  return checkpoint;
}

TestCheckpoint Clip() {
  TestCheckpoint checkpoint;
  Changes(checkpoint)
      .Architecture("vit_base_patch32_clip_quickgelu_224", "openai")
      .Remove("patch_embed.proj.bias")
      .AddNorm("norm_pre")
      .AddLayer("head", 24, kDim);
  return checkpoint;
}

TestCheckpoint Siglip() {
  TestCheckpoint checkpoint;
  Changes(checkpoint)
      .Architecture("vit_base_patch16_siglip_224", "webli")
      .Pool("map")
      .Remove("cls_token")
      .Add("pos_embed", {1, 16, kDim})
      .Add("attn_pool.latent", {1, 1, kDim})
      .AddLayer("attn_pool.q", kDim, kDim)
      .AddLayer("attn_pool.kv", 2 * kDim, kDim)
      .AddLayer("attn_pool.proj", kDim, kDim)
      .AddNorm("attn_pool.norm")
      .AddLayer("attn_pool.mlp.fc1", kHidden, kDim)
      .AddLayer("attn_pool.mlp.fc2", kDim, kHidden);
  return checkpoint;
}

}  // namespace

std::vector<TestFamily> TestFamilies() {
  return {{.name = "Vit", .checkpoint = {}},
          {.name = "DistilledDeit", .checkpoint = DistilledDeit()},
          {.name = "MeanOfPatchesThenNorm", .checkpoint = MeanOfPatchesThenNorm()},
          {.name = "Dinov2WithRegisters", .checkpoint = Dinov2()},
          {.name = "Dinov2Giant", .checkpoint = Dinov2Giant()},
          {.name = "Clip", .checkpoint = Clip()},
          {.name = "Siglip", .checkpoint = Siglip()}};
}

TestCheckpoint VitB16() {
  constexpr int64_t kWidth = 768;
  TestCheckpoint checkpoint;
  checkpoint.tensors.clear();
  Changes changes(checkpoint);
  changes.Architecture("vit_base_patch16_224", "augreg_in21k_ft_in1k")
      .Configure(
          "\"img_size\": [16, 16], \"patch_size\": 4, \"embed_dim\": 32, \"depth\": 2, "
          "\"num_heads\": 2",
          "\"img_size\": [224, 224], \"patch_size\": 16, \"embed_dim\": 768, "
          "\"depth\": 12, \"num_heads\": 12")
      .Configure("\"num_features\": 32", "\"num_features\": 768")
      .Configure("[3, 16, 16]", "[3, 224, 224]")
      .Add("patch_embed.proj.weight", {kWidth, 3, 16, 16}, 0.0f, 0.02f)
      .Add("patch_embed.proj.bias", {kWidth})
      .Add("cls_token", {1, 1, kWidth})
      .Add("pos_embed", {1, 197, kWidth})
      .AddNorm("norm", kWidth);
  for (int i = 0; i < 12; ++i) {
    const std::string block = absl::StrCat("blocks.", i, ".");
    changes.AddNorm(block + "norm1", kWidth).AddNorm(block + "norm2", kWidth);
    const auto layer = [&](const std::string& name, int64_t outputs, int64_t inputs) {
      changes.Add(block + name + ".weight", {outputs, inputs}, 0.0f, 0.02f)
          .Add(block + name + ".bias", {outputs}, 0.0f, 0.02f);
    };
    layer("attn.qkv", 3 * kWidth, kWidth);
    layer("attn.proj", kWidth, kWidth);
    layer("mlp.fc1", 4 * kWidth, kWidth);
    layer("mlp.fc2", kWidth, 4 * kWidth);
  }
  return checkpoint;
}

}  // namespace tome
