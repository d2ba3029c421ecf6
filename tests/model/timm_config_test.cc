#include "server/model/timm_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

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
  const absl::StatusOr<TimmConfig> config = ParseTimmConfig(text);
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << text;
  EXPECT_THAT(std::string(config.status().message()), HasSubstr(problem));
}

TEST(TimmConfigTest, ReadsWhatTimmWrites) {
  const absl::StatusOr<TimmConfig> config = ParseTimmConfig(kConfig);

  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->architecture, "vit_small_patch16_224");
  EXPECT_EQ(config->pretrained_tag, "augreg_in21k_ft_in1k");
  EXPECT_EQ(config->global_pool, "token");
  EXPECT_FALSE(config->num_heads.has_value());
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
  const auto config = ParseTimmConfig(With(R"("global_pool": "token", "img_size")",
                                           R"("global_pool": "avg", "num_heads": 8, "img_size")"));

  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->global_pool, "avg");
  EXPECT_EQ(config->num_heads, 8);
}

TEST(TimmConfigTest, FillsInTimmsDefaults) {
  const auto config = ParseTimmConfig(
      R"({"architecture": "vit_base_patch16_224", "pretrained_cfg": {"input_size": [3, 224, 224]}})");

  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->global_pool, "token");
  EXPECT_EQ(config->preprocessing.resize_height, 256);  // 224 / 0.875
  EXPECT_EQ(config->preprocessing.interpolation, Preprocessing::Interpolation::kBicubic);
  EXPECT_THAT(config->preprocessing.mean, ElementsAre(0.485f, 0.456f, 0.406f));
  EXPECT_THAT(config->preprocessing.std, ElementsAre(0.229f, 0.224f, 0.225f));
}

TEST(TimmConfigTest, RoundsTheResizedSideDownAsTimmDoes) {
  // math.floor(224 / 0.95) == 235 and math.floor(224 / 1.0) == 224.
  EXPECT_EQ(ParseTimmConfig(With("0.9,", "0.95,"))->preprocessing.resize_height, 235);
  EXPECT_EQ(ParseTimmConfig(With("0.9,", "1.0,"))->preprocessing.resize_height, 224);
}

TEST(TimmConfigTest, SquashesWithoutKeepingTheAspectRatio) {
  const auto config =
      ParseTimmConfig(absl::StrReplaceAll(kConfig, {{"\"center\"", "\"squash\""},
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

TEST(TimmConfigTest, RefusesAPreprocessingItCannotFollow) {
  ExpectRefused(With("\"bicubic\"", "\"lanczos\""),
                R"(pretrained_cfg.interpolation: "lanczos" is not supported)");
  ExpectRefused(With("\"center\"", "\"border\""),
                R"(pretrained_cfg.crop_mode: "border" is not supported)");
  ExpectRefused(absl::StrReplaceAll(kConfig, {{"224, 224]", "192, 224]"}}),
                "\"center\" for square inputs only");
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
  ExpectRefused(With("\"img_size\": [224, 224]", "\"img_size\": [384, 384]"),
                "model_args.img_size: [384,384] differs from pretrained_cfg.input_size");
}

TEST(TimmConfigTest, RefusesAnArgumentThatWouldChangeTheComputationUnseen) {
  ExpectRefused(With("\"in_chans\": 3", "\"act_layer\": \"quick_gelu\""),
                R"(model_args.act_layer: "quick_gelu" is not supported; supported: "gelu")");
  ExpectRefused(With("\"in_chans\": 3", "\"norm_layer\": \"rmsnorm\""), "model_args.norm_layer");
  ExpectRefused(With("\"in_chans\": 3", "\"pool_include_prefix\": true"), "pool_include_prefix");
  ExpectRefused(With("\"in_chans\": 3", "\"attn_layer\": \"diff\""),
                "model_args.attn_layer: \"diff\": this argument is not supported");
  ExpectRefused(With("\"in_chans\": 3, \"num_classes\": 1000, \"global_pool\": \"token\"",
                     "\"global_pool\": \"map\""),
                R"(global_pool: "map" is not supported; supported: "token", "avg")");
  EXPECT_TRUE(ParseTimmConfig(With("\"in_chans\": 3", "\"act_layer\": null")).ok());
  EXPECT_TRUE(ParseTimmConfig(With("\"in_chans\": 3", "\"act_layer\": \"gelu\"")).ok());
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
  ExpectRefused(R"({"architecture": "a", "pretrained_cfg": {}})",
                "pretrained_cfg.input_size: missing");
  ExpectRefused(With("\"in_chans\": 3", "\"num_heads\": 0"), "model_args.num_heads: 0, expected");
  ExpectRefused(std::string(1'000'000, '['), "is not valid JSON");
}

}  // namespace
}  // namespace tome
