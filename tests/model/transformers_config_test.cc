#include "server/model/transformers_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tome {
namespace {

using ::testing::HasSubstr;

void ExpectRefused(absl::string_view text, const std::string& problem) {
  const absl::Status status = ReadTransformersConfig(text).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  EXPECT_THAT(std::string(status.message()), HasSubstr(problem));
}

TEST(TransformersConfigTest, TellsItsOwnFromTimms) {
  EXPECT_TRUE(IsTransformersConfig(R"({"model_type": "vit"})"));
  EXPECT_FALSE(IsTransformersConfig(R"({"architecture": "vit_tiny_patch16_224"})"));
  EXPECT_FALSE(IsTransformersConfig("["));
}

TEST(TransformersConfigTest, ReadsAVisionTransformer) {
  const auto read = ReadTransformersConfig(R"({
      "model_type": "vit", "architectures": ["ViTForImageClassification"], "hidden_act": "gelu_new",
      "layer_norm_eps": 1e-5, "num_attention_heads": 6, "num_hidden_layers": 7, "qkv_bias": false,
      "image_size": [192, 256], "id2label": {"0": "cat"}})");

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->architecture, "ViTForImageClassification");
  EXPECT_EQ(read->family->name, "vit");
  EXPECT_EQ(read->heads, 6);
  EXPECT_EQ(read->blocks, 7);
  EXPECT_EQ(read->norm_epsilon, 1e-5);
  EXPECT_EQ(read->activation, VitActivation::kGeluTanh);
  EXPECT_FALSE(read->qkv_bias);
  EXPECT_EQ(read->stored_image_size, (ImageSize{192, 256}));
}

TEST(TransformersConfigTest, ReadsTheVisionTowerOfTwo) {
  const auto read = ReadTransformersConfig(R"({
      "model_type": "clip", "hidden_act": "relu", "text_config": {"num_attention_heads": 8},
      "vision_config": {"num_attention_heads": 16, "hidden_act": "gelu", "image_size": 336}})");

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->family->name, "clip");
  EXPECT_EQ(read->heads, 16);
  EXPECT_EQ(read->activation, VitActivation::kGelu);
  EXPECT_EQ(read->stored_image_size, (ImageSize{336, 336}));
  EXPECT_TRUE(read->projects);
}

TEST(TransformersConfigTest, FillsInTheFamilysDefaults) {
  const auto clip = ReadTransformersConfig(R"({"model_type": "clip_vision_model"})");
  ASSERT_TRUE(clip.ok()) << clip.status();
  EXPECT_EQ(clip->heads, 12);
  EXPECT_EQ(clip->norm_epsilon, 1e-5);
  EXPECT_EQ(clip->activation, VitActivation::kQuickGelu);
  EXPECT_EQ(clip->stored_image_size, (ImageSize{224, 224}));
  EXPECT_FALSE(clip->blocks.has_value());

  const auto siglip = ReadTransformersConfig(R"({"model_type": "siglip"})");
  ASSERT_TRUE(siglip.ok()) << siglip.status();
  EXPECT_EQ(siglip->norm_epsilon, 1e-6);
  EXPECT_EQ(siglip->activation, VitActivation::kGeluTanh);
  EXPECT_EQ(siglip->pooling, VitPooling::kAttention);

  const auto mae = ReadTransformersConfig(R"({"model_type": "vit_mae"})");
  ASSERT_TRUE(mae.ok()) << mae.status();
  EXPECT_EQ(mae->norm_epsilon, 1e-12);
  EXPECT_EQ(mae->pooling, VitPooling::kMeanOfPatches);
  EXPECT_FALSE(mae->proportional_attention);
}

TEST(TransformersConfigTest, RefusesWhatItDoesNotKnow) {
  ExpectRefused(R"({"model_type": "swin"})",
                R"(model_type: "swin" is not supported; supported: "vit", )");
  ExpectRefused(R"({"model_type": 3})", "model_type: 3, expected a string");
  ExpectRefused(R"({"model_type": "vit", "hidden_act": "relu"})",
                R"(hidden_act: "relu" is not supported; supported: "gelu")");
  ExpectRefused(R"({"model_type": "siglip", "vision_config": {"hidden_act": "silu"}})",
                R"(vision_config.hidden_act: "silu" is not supported)");
  ExpectRefused(R"({"model_type": "vit", "num_channels": 1})", "num_channels: 1, expected 3 to 3");
  ExpectRefused(R"({"model_type": "vit", "num_attention_heads": 0})", "num_attention_heads: 0");
  ExpectRefused(R"({"model_type": "vit", "layer_norm_eps": 0})", "layer_norm_eps: 0, expected");
  ExpectRefused(R"({"model_type": "vit", "image_size": [1, 2, 3]})", "image_size: [1,2,3]");
  ExpectRefused(R"({"model_type": "vit", "architectures": []})", "architectures: []");
  ExpectRefused(R"({"model_type": "clip", "vision_config": 3})", "vision_config: 3, expected an");
}

}  // namespace
}  // namespace tome
