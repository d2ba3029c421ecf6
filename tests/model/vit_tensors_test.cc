#include "server/model/vit_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_replace.h"

#include "server/model/checkpoint.h"
#include "tests/model/test_checkpoint.h"

namespace tome {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

constexpr int kDim = 32;
constexpr int kHidden = 64;

// A timm checkpoint to change before it is opened.
class VitTensorsTest : public testing::Test {
 protected:
  VitTensors Open() {
    checkpoint_.Write(directory_);
    absl::StatusOr<Checkpoint> opened = OpenCheckpoint(directory_.path());
    EXPECT_TRUE(opened.ok()) << opened.status();
    return std::move(opened->tensors);
  }
  const std::vector<float>& Stored(const std::string& name) const {
    return checkpoint_.tensors.at(name).values;
  }
  // A tensor of the numbers 0, 1, 2, ... times `step`.
  void Add(const std::string& name, const std::vector<int64_t>& shape, float step = 0.01f) {
    TestTensor& tensor = checkpoint_.tensors[name];
    tensor.shape = shape;
    tensor.values.clear();
    int64_t count = 1;
    for (const int64_t dimension : shape) count *= dimension;
    for (int64_t i = 0; i < count; ++i) tensor.values.push_back(static_cast<float>(i) * step);
  }
  void ReplaceInConfig(absl::string_view before, absl::string_view after) {
    const std::string replaced = absl::StrReplaceAll(checkpoint_.config, {{before, after}});
    ASSERT_NE(replaced, checkpoint_.config) << before;
    checkpoint_.config = replaced;
  }

  TemporaryDirectory directory_;
  TestCheckpoint checkpoint_;
};

TEST_F(VitTensorsTest, GivesALayerAsItIsStored) {
  const VitTensors tensors = Open();

  const LinearValues fc1 = tensors.Linear(LinearRole::kFc1, 1);
  EXPECT_EQ(fc1.outputs, kHidden);
  EXPECT_EQ(fc1.inputs, kDim);
  EXPECT_EQ(fc1.weight, Stored("blocks.1.mlp.fc1.weight"));
  EXPECT_EQ(fc1.bias, Stored("blocks.1.mlp.fc1.bias"));
  const LinearValues patches = tensors.Linear(LinearRole::kPatchEmbedding);
  EXPECT_EQ(patches.outputs, kDim);
  EXPECT_EQ(patches.inputs, 3 * 4 * 4);
  EXPECT_EQ(patches.weight, Stored("patch_embed.proj.weight"));
  EXPECT_EQ(tensors.Norm(NormRole::kNorm2, 0).bias, Stored("blocks.0.norm2.bias"));
  EXPECT_EQ(tensors.Norm(NormRole::kFinal).weight, Stored("norm.weight"));
}

TEST_F(VitTensorsTest, AddsItsPositionToEachPrefixToken) {
  const VitTensors tensors = Open();

  const std::vector<float> prefix = tensors.PrefixTokens();
  const std::vector<float>& positions = Stored("pos_embed");
  ASSERT_EQ(prefix.size(), static_cast<size_t>(kDim));
  for (int i = 0; i < kDim; ++i) EXPECT_EQ(prefix[i], Stored("cls_token")[i] + positions[i]);
  EXPECT_THAT(tensors.PositionEmbedding(),
              ElementsAreArray(positions.begin() + kDim, positions.end()));
}

TEST_F(VitTensorsTest, TakesRegistersWithPositionsOnlyForPatches) {
  Add("reg_token", {1, 4, kDim});
  checkpoint_.tensors["pos_embed"] = {{1, 16, kDim}, std::vector<float>(16 * kDim, 0.5f)};

  const VitTensors tensors = Open();

  EXPECT_EQ(tensors.vit().register_tokens, 4);
  EXPECT_EQ(tensors.vit().tokens(), 1 + 4 + 16);
  std::vector<float> expected = Stored("cls_token");
  expected.insert(expected.end(), Stored("reg_token").begin(), Stored("reg_token").end());
  EXPECT_EQ(tensors.PrefixTokens(), expected);
  EXPECT_THAT(tensors.PositionEmbedding(), Each(0.5f));
}

TEST_F(VitTensorsTest, FoldsLayerScaleIntoTheLayerBeforeIt) {
  for (const std::string block : {"blocks.0.", "blocks.1."}) {
    Add(block + "ls1.gamma", {kDim}, 0.5f);
    Add(block + "ls2.gamma", {kDim}, 0.25f);
  }

  const VitTensors tensors = Open();

  const LinearValues projection = tensors.Linear(LinearRole::kAttentionProjection, 0);
  const LinearValues fc2 = tensors.Linear(LinearRole::kFc2, 1);
  for (int row = 0; row < kDim; ++row) {
    const float scale1 = 0.5f * static_cast<float>(row);
    const float scale2 = 0.25f * static_cast<float>(row);
    EXPECT_EQ(projection.bias[row], Stored("blocks.0.attn.proj.bias")[row] * scale1);
    EXPECT_EQ(fc2.bias[row], Stored("blocks.1.mlp.fc2.bias")[row] * scale2);
    for (const int column : {0, 7, 31}) {
      EXPECT_EQ(projection.weight[row * kDim + column],
                Stored("blocks.0.attn.proj.weight")[row * kDim + column] * scale1);
      EXPECT_EQ(fc2.weight[row * kHidden + column],
                Stored("blocks.1.mlp.fc2.weight")[row * kHidden + column] * scale2);
    }
  }
  EXPECT_EQ(tensors.Linear(LinearRole::kQkv, 0).weight, Stored("blocks.0.attn.qkv.weight"));
}

TEST_F(VitTensorsTest, SeesAGatedMlpByItsShapes) {
  for (const std::string block : {"blocks.0.", "blocks.1."}) {
    Add(block + "mlp.fc2.weight", {kDim, kHidden / 2});
  }

  const VitTensors tensors = Open();

  EXPECT_EQ(tensors.vit().mlp, VitMlp::kSwiGlu);
  EXPECT_EQ(tensors.vit().mlp_hidden_dim, kHidden / 2);
  EXPECT_EQ(tensors.Linear(LinearRole::kFc1, 0).outputs, kHidden);
  EXPECT_EQ(tensors.Linear(LinearRole::kFc2, 0).inputs, kHidden / 2);
}

TEST_F(VitTensorsTest, GivesZerosForTheBiasThatTheConfigurationLeavesOut) {
  ReplaceInConfig("\"depth\": 2", "\"depth\": 2, \"qkv_bias\": false");
  for (const std::string block : {"blocks.0.", "blocks.1."}) {
    checkpoint_.tensors.erase(block + "attn.qkv.bias");
  }

  EXPECT_THAT(Open().Linear(LinearRole::kQkv, 1).bias,
              ElementsAreArray(std::vector<float>(3 * kDim, 0.0f)));
}

TEST_F(VitTensorsTest, ReadsClipsNormBeforeTheBlocksAndItsProjection) {
  ReplaceInConfig("vit_tiny_patch16_224", "vit_base_patch32_clip_quickgelu_224");
  ReplaceInConfig("augreg_in21k_ft_in1k", "openai");
  checkpoint_.tensors.erase("patch_embed.proj.bias");
  Add("norm_pre.weight", {kDim});
  Add("norm_pre.bias", {kDim}, 0.02f);
  Add("head.weight", {20, kDim});
  Add("head.bias", {20}, 0.5f);

  const VitTensors tensors = Open();

  EXPECT_TRUE(tensors.vit().norm_before_blocks);
  EXPECT_EQ(tensors.vit().embedding_dim(), 20);
  EXPECT_THAT(tensors.Linear(LinearRole::kPatchEmbedding).bias, Each(0.0f));
  EXPECT_EQ(tensors.Norm(NormRole::kBeforeBlocks).bias, Stored("norm_pre.bias"));
  EXPECT_EQ(tensors.Linear(LinearRole::kProjection).weight, Stored("head.weight"));
  EXPECT_EQ(tensors.Linear(LinearRole::kProjection).bias, Stored("head.bias"));
}

TEST_F(VitTensorsTest, ReadsSiglipsAttentionPooling) {
  ReplaceInConfig("vit_tiny_patch16_224", "vit_base_patch16_siglip_224");
  ReplaceInConfig("\"global_pool\": \"token\"", "\"global_pool\": \"map\"");
  checkpoint_.tensors.erase("cls_token");
  Add("pos_embed", {1, 16, kDim});
  Add("attn_pool.latent", {1, 1, kDim}, 1.0f);
  checkpoint_.tensors["attn_pool.q.weight"] = {{kDim, kDim}, std::vector<float>(kDim * kDim)};
  checkpoint_.tensors["attn_pool.q.weight"].values[3 * kDim + 5] = 2.0f;
  Add("attn_pool.q.bias", {kDim}, 100.0f);
  Add("attn_pool.kv.weight", {2 * kDim, kDim});
  Add("attn_pool.kv.bias", {2 * kDim});
  Add("attn_pool.proj.weight", {kDim, kDim});
  Add("attn_pool.proj.bias", {kDim});
  Add("attn_pool.norm.weight", {kDim});
  Add("attn_pool.norm.bias", {kDim});
  Add("attn_pool.mlp.fc1.weight", {kHidden, kDim});
  Add("attn_pool.mlp.fc1.bias", {kHidden});
  Add("attn_pool.mlp.fc2.weight", {kDim, kHidden});
  Add("attn_pool.mlp.fc2.bias", {kDim});

  const VitTensors tensors = Open();

  EXPECT_EQ(tensors.vit().pooling, VitPooling::kAttention);
  EXPECT_TRUE(tensors.vit().attention_pooling);
  EXPECT_EQ(tensors.vit().prefix_tokens(), 0);
  const std::vector<float> query = tensors.PoolQuery();
  EXPECT_EQ(query[2], 200.0f);
  EXPECT_EQ(query[3], 300.0f + 2.0f * 5.0f);  // the probe's number 5 is 5
  EXPECT_EQ(tensors.Linear(LinearRole::kPoolKeyValue).weight, Stored("attn_pool.kv.weight"));
  EXPECT_EQ(tensors.Linear(LinearRole::kPoolFc2).inputs, kHidden);
  EXPECT_EQ(tensors.Norm(NormRole::kPool).weight, Stored("attn_pool.norm.weight"));
}

TEST_F(VitTensorsTest, WidensHalfPrecisionExactly) {
  const std::vector<float> values = {0.0f,     -0.0f,    1.0f,       -2.5f, 0.333251953125f,
                                     65504.0f, 0x1p-14f, -0x1.8p-14f};
  checkpoint_.tensors["norm.bias"].values.assign(kDim, 0.0f);
  std::copy(values.begin(), values.end(), checkpoint_.tensors["norm.bias"].values.begin());
  for (auto& [name, tensor] : checkpoint_.tensors) {
    if (name != "norm.bias") tensor.values.assign(tensor.values.size(), 0.5f);
  }
  checkpoint_.stored_dtype = "F16";

  const VitTensors tensors = Open();

  EXPECT_EQ(tensors.Norm(NormRole::kFinal).bias, Stored("norm.bias"));
  EXPECT_THAT(tensors.Norm(NormRole::kFinal).weight, Each(0.5f));
}

}  // namespace
}  // namespace tome
