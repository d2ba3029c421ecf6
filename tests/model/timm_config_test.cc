#include "server/model/timm_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace tome {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// As timm.models.save_for_hf writes it.
constexpr char kConfig[] = R"({
  "architecture": "vit_small_patch16_224",
  "num_classes": 1000,
  "num_features": 384,
  "global_pool": "token",
  "model_args": {"in_chans": 3, "num_classes": 1000, "global_pool": "token", "img_size": [224, 224]},
  "pretrained_cfg": {
    "tag": "augreg_in21k_ft_in1k", "custom_load": false, "input_size": [3, 224, 224],
    "fixed_input_size": true, "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center",
    "mean": [0.5, 0.25, 0.5], "std": [0.5, 0.5, 0.125], "num_classes": 1000, "pool_size": null,
    "first_conv": "patch_embed.proj", "classifier": "head", "license": "apache-2.0"
  }
})";

std::string With(absl::string_view before, absl::string_view after) {
  const std::string text = absl::StrReplaceAll(kConfig, {{before, after}});
  EXPECT_NE(text, kConfig) << before;
  return text;
}

void ExpectRefused(absl::string_view text, const std::string& problem) {
  const absl::StatusOr<VitConfig> config = ReadTimmConfig(text);
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << text;
  EXPECT_THAT(std::string(config.status().message()), HasSubstr(problem));
}

TEST(TimmConfigTest, ReadsWhatTimmWrites) {
  const absl::StatusOr<VitConfig> config = ReadTimmConfig(kConfig);

  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->architecture, "vit_small_patch16_224");
  EXPECT_EQ(config->family->name, "vit");
  EXPECT_EQ(config->pooling, VitPooling::kClassToken);
  EXPECT_EQ(config->heads, 6);
  EXPECT_EQ(config->norm_epsilon, 1e-6);
  EXPECT_EQ(config->activation, VitActivation::kGelu);
  EXPECT_TRUE(config->proportional_attention);
  EXPECT_TRUE(config->qkv_bias);
  EXPECT_FALSE(config->projects);
  EXPECT_EQ(config->stored_image_size, (ImageSize{224, 224}));
  EXPECT_EQ(config->preprocessing.resize, Preprocessing::Resize::kShortestEdge);
  EXPECT_EQ(config->preprocessing.resize_height, 248);
  EXPECT_EQ(config->preprocessing.crop_height, 224);
  EXPECT_EQ(config->preprocessing.crop_width, 224);
  EXPECT_EQ(config->preprocessing.interpolation, Preprocessing::Interpolation::kBicubic);
  EXPECT_EQ(config->preprocessing.crop_offset, Preprocessing::CropOffset::kHalfToEven);
  EXPECT_THAT(config->preprocessing.mean, ElementsAre(0.5f, 0.25f, 0.5f));
  EXPECT_THAT(config->preprocessing.std, ElementsAre(0.5f, 0.5f, 0.125f));
}

TEST(TimmConfigTest, TakesModelArgsBeforeTheRest) {
  const auto config = ReadTimmConfig(With(R"("global_pool": "token", "img_size")",
                                          R"("global_pool": "avg", "num_heads": 8, "img_size")"));

  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->pooling, VitPooling::kMeanOfPatches);
  EXPECT_EQ(config->heads, 8);
}

TEST(TimmConfigTest, FillsInTimmsDefaults) {
  const auto config = ReadTimmConfig(
      R"({"architecture": "vit_base_patch16_224", "pretrained_cfg": {"input_size": [3, 224, 224]}})");

  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->pooling, VitPooling::kClassToken);
  EXPECT_EQ(config->preprocessing.resize_height, 256);  // 224 / 0.875
  EXPECT_EQ(config->preprocessing.interpolation, Preprocessing::Interpolation::kBicubic);
  EXPECT_THAT(config->preprocessing.mean, ElementsAre(0.485f, 0.456f, 0.406f));
  EXPECT_THAT(config->preprocessing.std, ElementsAre(0.229f, 0.224f, 0.225f));
}

TEST(TimmConfigTest, RoundsTheResizedSideDownAsTimmDoes) {
  // math.floor(224 / 0.95) == 235 and math.floor(224 / 1.0) == 224.
  EXPECT_EQ(ReadTimmConfig(With("0.9,", "0.95,"))->preprocessing.resize_height, 235);
  EXPECT_EQ(ReadTimmConfig(With("0.9,", "1.0,"))->preprocessing.resize_height, 224);
}

TEST(TimmConfigTest, SquashesWithoutKeepingTheAspectRatio) {
  const auto config =
      ReadTimmConfig(absl::StrReplaceAll(kConfig, {{"\"center\"", "\"squash\""},
                                                   {"[3, 224, 224]", "[3, 192, 256]"},
                                                   {"[224, 224]", "[192, 256]"},
                                                   {"0.9,", "1.0,"},
                                                   {"\"bicubic\"", "\"bilinear\""}}));

  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->preprocessing.resize, Preprocessing::Resize::kExact);
  EXPECT_EQ(config->preprocessing.interpolation, Preprocessing::Interpolation::kBilinear);
  EXPECT_EQ(config->preprocessing.resize_height, 192);
  EXPECT_EQ(config->preprocessing.resize_width, 256);
}

TEST(TimmConfigTest, CoversAnInputThatIsNotSquare) {
  const auto config =
      ReadTimmConfig(absl::StrReplaceAll(kConfig, {{"[3, 224, 224]", "[3, 192, 256]"}}));

  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->preprocessing.resize, Preprocessing::Resize::kCover);
  EXPECT_EQ(config->preprocessing.resize_height, 213);
  EXPECT_EQ(config->preprocessing.resize_width, 284);
}

TEST(TimmConfigTest, SurroundsAFittedPictureWithTheMean) {
  const auto config = ReadTimmConfig(
      absl::StrReplaceAll(With("\"center\"", "\"border\""), {{"\"bicubic\"", "\"lanczos\""}}));

  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->preprocessing.resize, Preprocessing::Resize::kFit);
  EXPECT_EQ(config->preprocessing.interpolation, Preprocessing::Interpolation::kLanczos);
  EXPECT_THAT(config->preprocessing.fill, ElementsAre(128, 64, 128));  // 127.5 goes to even
}

TEST(TimmConfigTest, RefusesAPreprocessingItCannotFollow) {
  ExpectRefused(With("\"bicubic\"", "\"random\""),
                R"(pretrained_cfg.interpolation: "random" is not supported)");
  ExpectRefused(With("\"center\"", "\"corner\""),
                R"(pretrained_cfg.crop_mode: "corner" is not supported)");
  ExpectRefused(With("0.9,", "0,"), "pretrained_cfg.crop_pct: 0, expected a number above 0");
  ExpectRefused(With("0.9,", "1e-9,"), "pretrained_cfg.crop_pct: 1e-09, expected");
  ExpectRefused(With("0.9,", "1e9,"), "pretrained_cfg.crop_pct");
  ExpectRefused(With("[0.5, 0.5, 0.125]", "[0.5, 0.0, 0.125]"), "pretrained_cfg.std");
  ExpectRefused(With("[0.5, 0.25, 0.5]", "[0.5, 0.25]"), "pretrained_cfg.mean: [0.5,0.25]");
}

TEST(TimmConfigTest, RefusesAnInputSizeThatIsNone) {
  ExpectRefused(With("[3, 224, 224]", "[1, 224, 224]"), "is not supported; supported: 3 channels");
  ExpectRefused(With("[3, 224, 224]", "[3, 0, 224]"), "pretrained_cfg.input_size: [0,224]");
  ExpectRefused(With("[3, 224, 224]", "[3, 18446744073709551615, 224]"), "input_size");
  ExpectRefused(With("[3, 224, 224]", "224"), "pretrained_cfg.input_size: 224, expected [3,");
}

TEST(TimmConfigTest, RefusesAnArgumentThatWouldChangeTheComputationUnseen) {
  ExpectRefused(With("\"in_chans\": 3", "\"act_layer\": \"relu\""),
                R"(model_args.act_layer: "relu" is not supported; supported: "gelu", "gelu_tanh")");
  ExpectRefused(With("\"in_chans\": 3", "\"norm_layer\": \"rmsnorm\""), "model_args.norm_layer");
  ExpectRefused(With("\"in_chans\": 3", "\"pool_include_prefix\": true"), "pool_include_prefix");
  ExpectRefused(With("\"in_chans\": 3", "\"attn_layer\": \"diff\""),
                "model_args.attn_layer: \"diff\": this argument is not supported");
  ExpectRefused(With("\"in_chans\": 3, \"num_classes\": 1000, \"global_pool\": \"token\"",
                     "\"global_pool\": \"prr\""),
                R"(global_pool: "prr" is not supported; supported: "token", "avg", "map")");
  EXPECT_TRUE(ReadTimmConfig(With("\"in_chans\": 3", "\"act_layer\": null")).ok());
  EXPECT_TRUE(ReadTimmConfig(With("\"in_chans\": 3", "\"act_layer\": \"gelu\"")).ok());
}

TEST(TimmConfigTest, KnowsAnArchitectureByItsName) {
  struct Known {
    std::string name;
    std::string family;
    int heads;
    VitActivation activation = VitActivation::kGelu;
    VitPooling pooling = VitPooling::kClassToken;
    double norm_epsilon = 1e-6;
  };
  for (const Known& known :
       std::vector<Known>{{"vit_giant_patch14_224", "vit", 16},
                          {"deit_tiny_distilled_patch16_224", "deit", 3},
                          {"deit3_medium_patch16_224", "deit", 8},
                          {"vit_small_patch14_dinov2", "dinov2", 6},
                          {"vit_giant_patch14_reg4_dinov2", "dinov2", 24},
                          {"vit_large_patch14_clip_336", "clip", 16, VitActivation::kGelu,
                           VitPooling::kClassToken, 1e-5},
                          {"vit_base_patch32_clip_quickgelu_224", "clip", 12,
                           VitActivation::kQuickGelu, VitPooling::kClassToken, 1e-5},
                          {"vit_base_patch16_siglip_224", "siglip", 12, VitActivation::kGelu,
                           VitPooling::kAttention},
                          {"vit_base_patch32_siglip_256", "siglip", 12, VitActivation::kGeluTanh,
                           VitPooling::kAttention},
                          {"vit_large_patch16_siglip_512", "siglip", 16, VitActivation::kGeluTanh,
                           VitPooling::kAttention},
                          {"vit_so400m_patch14_siglip_384", "siglip", 16, VitActivation::kGelu,
                           VitPooling::kAttention},
                          {"vit_so400m_patch16_siglip_gap_256", "siglip", 16,
                           VitActivation::kGeluTanh, VitPooling::kMeanOfPatches},
                          {"vit_giantopt_patch16_siglip_256", "siglip", 16,
                           VitActivation::kGeluTanh, VitPooling::kAttention}}) {
    const auto config =
        ReadTimmConfig(absl::StrCat(R"({"architecture": ")", known.name,
                                    R"(", "pretrained_cfg": {"input_size": [3, 224, 224]}})"));

    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->family->name, known.family) << known.name;
    EXPECT_EQ(config->heads, known.heads) << known.name;
    EXPECT_EQ(config->activation, known.activation) << known.name;
    EXPECT_EQ(config->pooling, known.pooling) << known.name;
    EXPECT_EQ(config->norm_epsilon, known.norm_epsilon) << known.name;
  }
}

TEST(TimmConfigTest, RefusesAnArchitectureWhoseDetailsItDoesNotKnow) {
  for (const std::string name :
       {"vit_base_patch16_gap_224", "resnet50", "vit_base_patch16_224_miil", "vit_base_patch16",
        "vit_base_patch_224", "vit_base_patch16_plus_clip_240", "vit_base_patch16_clip",
        "vit_base_patch14_dinov2_224", "vit_base_patch16_siglip_so_224", "vit_", "deit_base"}) {
    ExpectRefused(With("vit_small_patch16_224", name),
                  "architecture: \"" + name + "\" is not supported; supported: timm's vit");
  }
}

TEST(TimmConfigTest, PoolsAMaskedAutoencoderByItsPatchesWithoutProportionalAttention) {
  const auto config = ReadTimmConfig(With("augreg_in21k_ft_in1k", "mae"));

  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->family->name, "mae");
  EXPECT_EQ(config->pooling, VitPooling::kMeanOfPatches);
  EXPECT_FALSE(config->proportional_attention);
}

TEST(TimmConfigTest, ProjectsClipByItsHeadUnlessThatIsAClassifier) {
  const std::string clip = With("vit_small_patch16_224", "vit_base_patch32_clip_224");

  EXPECT_TRUE(
      ReadTimmConfig(absl::StrReplaceAll(clip, {{"augreg_in21k_ft_in1k", "openai"}}))->projects);
  EXPECT_FALSE(ReadTimmConfig(absl::StrReplaceAll(clip, {{"augreg_in21k", "laion2b"}}))->projects);
}

TEST(TimmConfigTest, RefusesWhatIsNoTimmConfig) {
  ExpectRefused("", "is not valid JSON");
  ExpectRefused("{\"architecture\": ", "is not valid JSON");
  ExpectRefused("[]", "expected a JSON object");
  ExpectRefused("{}", "pretrained_cfg: missing");
  ExpectRefused(R"({"pretrained_cfg": 3})", "pretrained_cfg: 3, expected an object");
  ExpectRefused(R"({"pretrained_cfg": {}})", "architecture: missing");
  ExpectRefused(R"({"architecture": 5, "pretrained_cfg": {}})",
                "architecture: 5, expected a string");
  ExpectRefused(R"({"architecture": "vit_base_patch16_224", "pretrained_cfg": {}})",
                "pretrained_cfg.input_size: missing");
  ExpectRefused(With("\"in_chans\": 3", "\"num_heads\": 0"), "model_args.num_heads: 0, expected");
}

TEST(TimmConfigTest, RefusesAFileThatNestsWithoutEnd) {
  const std::string deep = std::string(4'000'000, '[') + std::string(4'000'000, ']');

  ExpectRefused(R"({"architecture":"a","pretrained_cfg":{"crop_pct":)" + deep + "}}",
                "nests lists and objects more than 64 deep");
  ExpectRefused(std::string(4'000'000, '{'), "nests lists and objects more than 64 deep");
  // Brackets in a text nest nothing: what is wrong here is something else.
  ExpectRefused(
      R"({"note":"\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["})",
      "pretrained_cfg: missing");
}

}  // namespace
}  // namespace tome
