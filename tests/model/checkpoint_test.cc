#include "server/model/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_replace.h"

#include "tests/model/test_checkpoint.h"

namespace tome {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CheckpointTest : public testing::Test {
 protected:
  absl::StatusOr<Checkpoint> Open() {
    checkpoint_.Write(directory_);
    return OpenCheckpoint(directory_.path());
  }
  void ExpectRefused(const std::string& problem) {
    const absl::StatusOr<Checkpoint> opened = Open();
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(opened.status().message()), HasSubstr(problem));
    EXPECT_THAT(std::string(opened.status().message()), Not(HasSubstr(directory_.path())));
  }
  void ReplaceInConfig(absl::string_view before, absl::string_view after) {
    const std::string replaced = absl::StrReplaceAll(checkpoint_.config, {{before, after}});
    ASSERT_NE(replaced, checkpoint_.config) << before;
    checkpoint_.config = replaced;
  }
  void Rename(const std::string& before, const std::string& after) {
    auto node = checkpoint_.tensors.extract(before);
    ASSERT_FALSE(node.empty()) << before;
    node.key() = after;
    checkpoint_.tensors.insert(std::move(node));
  }

  TemporaryDirectory directory_;
  TestCheckpoint checkpoint_;
};

TEST_F(CheckpointTest, TakesFromShapesWhatTheyTell) {
  const absl::StatusOr<Checkpoint> opened = Open();

  ASSERT_TRUE(opened.ok()) << opened.status();
  const VitDescription& vit = opened->vit();
  EXPECT_EQ(vit.architecture, "vit_tiny_patch16_224");
  EXPECT_EQ(vit.family, "vit");
  EXPECT_EQ(vit.patch_size, 4);
  EXPECT_EQ(vit.grid_height, 4);
  EXPECT_EQ(vit.grid_width, 4);
  EXPECT_EQ(vit.token_dim, 32);
  EXPECT_EQ(vit.mlp_hidden_dim, 64);
  EXPECT_EQ(vit.heads, 2);
  EXPECT_EQ(vit.blocks, 2);
  EXPECT_EQ(vit.prefix_tokens(), 1);
  EXPECT_EQ(vit.tokens(), 17);
  EXPECT_EQ(vit.pooling, VitPooling::kClassToken);
  EXPECT_FALSE(vit.norm_after_pooling);
  EXPECT_FALSE(vit.norm_before_blocks);
  EXPECT_EQ(vit.mlp, VitMlp::kPlain);
  EXPECT_EQ(vit.embedding_dim(), 32);
  EXPECT_EQ(vit.norm_epsilon, 1e-6);
  EXPECT_TRUE(vit.proportional_attention);
}

TEST_F(CheckpointTest, KnowsTheHeadsOfAnArchitectureByItsName) {
  ReplaceInConfig(", \"num_heads\": 2", "");
  ReplaceInConfig("vit_tiny_patch16_224", "vit_large_patch14_224");

  const absl::StatusOr<Checkpoint> opened = Open();

  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->vit().heads, 16);
}

TEST_F(CheckpointTest, DigestsTheTensorsAsSha256sumDoes) {
  const absl::StatusOr<Checkpoint> plain = OpenCheckpoint(TOME_TEST_DATA "/plain");

  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->weights_digest,
            "a2ce7e5f4213858dccf8f2deded8891d2ccf890cc9b938d6e8b80805e30c1d31");
}

TEST_F(CheckpointTest, PoolsADistilledModelFromBothOfItsPrefixTokens) {
  checkpoint_.tensors["dist_token"] = checkpoint_.tensors["cls_token"];
  auto& positions = checkpoint_.tensors["pos_embed"];
  positions.shape[1] += 1;
  positions.values.resize(18 * 32);
  ReplaceInConfig("vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224");

  const absl::StatusOr<Checkpoint> opened = Open();

  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->vit().prefix_tokens(), 2);
  EXPECT_EQ(opened->vit().pooling, VitPooling::kMeanOfClassTokens);
}

TEST_F(CheckpointTest, NormsBehindThePoolingWhereTheCheckpointHasFcNorm) {
  Rename("norm.weight", "fc_norm.weight");
  Rename("norm.bias", "fc_norm.bias");
  ReplaceInConfig("\"global_pool\": \"token\"", "\"global_pool\": \"avg\"");

  const absl::StatusOr<Checkpoint> opened = Open();

  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->vit().pooling, VitPooling::kMeanOfPatches);
  EXPECT_TRUE(opened->vit().norm_after_pooling);
}

TEST_F(CheckpointTest, PassesOverTheClassifier) {
  checkpoint_.tensors["head.weight"] = {{2, 32}, std::vector<float>(64)};
  checkpoint_.tensors["head_dist.bias"] = {{2}, std::vector<float>(2)};

  EXPECT_TRUE(Open().ok()) << Open().status();
}

TEST_F(CheckpointTest, NamesAMissingTensor) {
  for (const std::string name :
       {"patch_embed.proj.weight", "patch_embed.proj.bias", "pos_embed", "norm.bias",
        "blocks.0.norm1.weight", "blocks.1.attn.qkv.bias", "blocks.1.mlp.fc2.weight"}) {
    checkpoint_ = TestCheckpoint();
    checkpoint_.tensors.erase(name);
    ExpectRefused(name + ": this tensor is missing");
  }
  checkpoint_ = TestCheckpoint();
  checkpoint_.tensors.erase("cls_token");
  checkpoint_.tensors["pos_embed"] = {{1, 16, 32}, std::vector<float>(16 * 32)};
  ExpectRefused("cls_token: this tensor is missing, and the model pools its class token");
}

TEST_F(CheckpointTest, NamesATensorOfAnotherShapeOrType) {
  checkpoint_.tensors["blocks.1.attn.qkv.weight"] = {{96, 16}, std::vector<float>(96 * 16)};
  ExpectRefused("blocks.1.attn.qkv.weight: shape [96, 16], expected [96, 32]");

  checkpoint_ = TestCheckpoint();
  checkpoint_.tensors["pos_embed"] = {{1, 24, 32}, std::vector<float>(24 * 32)};
  ExpectRefused("pos_embed: shape [1, 24, 32], expected [1, 17, 32] or a square grid");

  checkpoint_ = TestCheckpoint();
  checkpoint_.tensors["patch_embed.proj.weight"] = {{32, 4, 4, 4}, std::vector<float>(32 * 64)};
  ExpectRefused("patch_embed.proj.weight: shape [32, 4, 4, 4], expected [dim, 3, patch, patch]");
}

TEST_F(CheckpointTest, NamesATensorThatThePassWouldLeaveOut) {
  for (const std::string name : {"blocks.1.ls1.gamma", "fc_norm.bias", "blocks.2.norm1.bias",
                                 "blocks.1.attn.q_norm.weight", "rel_pos_bias"}) {
    checkpoint_ = TestCheckpoint();
    checkpoint_.tensors[name] = {{1}, {0.0f}};
    ExpectRefused(name + ": a model of the family \"vit\" has no such tensor");
  }
}

TEST_F(CheckpointTest, RefusesNumbersThatDoNotFitTogether) {
  ReplaceInConfig("\"num_heads\": 2", "\"num_heads\": 5");
  ExpectRefused("model_args.num_heads: 5 does not divide the token dimension 32");

  checkpoint_ = TestCheckpoint();
  ReplaceInConfig("\"input_size\": [3, 16, 16]", "\"input_size\": [3, 3, 16]");
  ReplaceInConfig("\"crop_mode\": \"center\"", "\"crop_mode\": \"squash\"");
  ExpectRefused("pretrained_cfg.input_size: 3 x 16 is less than one patch of 4");
}

TEST_F(CheckpointTest, LeavesOutWhatIsBeyondTheLastWholePatch) {
  ReplaceInConfig("16, 16]", "18, 19]");
  ReplaceInConfig("\"crop_mode\": \"center\"", "\"crop_mode\": \"squash\"");

  const absl::StatusOr<Checkpoint> opened = Open();

  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->vit().grid_height, 4);
  EXPECT_EQ(opened->vit().grid_width, 4);
}

TEST_F(CheckpointTest, ServesAnInputOfAnotherSizeThanThePositionEmbeddings) {
  ReplaceInConfig("\"input_size\": [3, 16, 16]", "\"input_size\": [3, 24, 24]");

  const absl::StatusOr<Checkpoint> opened = Open();

  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->vit().tokens(), 37);
  EXPECT_EQ(opened->tensors.PositionEmbedding().size(), 36u * 32);
}

TEST_F(CheckpointTest, NamesTheFileThatIsMissingOrWrong) {
  EXPECT_EQ(OpenCheckpoint(directory_.path()).status(),
            absl::NotFoundError("config.json: cannot be opened"));

  directory_.Write("config.json", checkpoint_.config);
  EXPECT_THAT(std::string(OpenCheckpoint(directory_.path()).status().message()),
              HasSubstr("model.safetensors: "));

  directory_.Write("model.safetensors", "x");
  EXPECT_THAT(std::string(OpenCheckpoint(directory_.path()).status().message()),
              HasSubstr("model.safetensors: has 1 bytes"));

  directory_.Write("config.json", "{");
  EXPECT_EQ(OpenCheckpoint(directory_.path()).status(),
            absl::InvalidArgumentError("config.json: is not valid JSON"));
}

}  // namespace
}  // namespace tome
