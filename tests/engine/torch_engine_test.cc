#include "server/engine/torch_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_replace.h"

#include "server/engine/self_test.h"
#include "tests/model/test_checkpoint.h"

namespace tome {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class TorchEngineTest : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Engine>> TryLoad(const std::string& dtype = "float32",
                                                  int threads = 1) {
    checkpoint_.Write(directory_);
    return LoadTorchEngine(
        {.directory = directory_.path(), .dtype = dtype, .compute_threads = threads});
  }
  std::unique_ptr<Engine> Load(const std::string& dtype = "float32", int threads = 1) {
    auto engine = TryLoad(dtype, threads);
    EXPECT_TRUE(engine.ok()) << engine.status();
    return *std::move(engine);
  }

  TemporaryDirectory directory_;
  TestCheckpoint checkpoint_;
};

TEST_F(TorchEngineTest, TellsTheFactsOfItsCheckpoint) {
  const std::unique_ptr<Engine> engine = Load("bfloat16");

  const ModelFacts& facts = engine->facts();
  EXPECT_EQ(facts.architecture, "vit_tiny_patch16_224");
  EXPECT_EQ(facts.family, "vit");
  EXPECT_EQ(facts.dtype, "bfloat16");
  EXPECT_EQ(facts.device, "cpu");
  EXPECT_EQ(facts.weights_digest.size(), 64u);
  EXPECT_EQ(facts.preprocessing.crop_height, 16);
  EXPECT_EQ(facts.patch_size, 4);
  EXPECT_EQ(facts.tokens(), 17);
  EXPECT_EQ(facts.prefix_tokens, 1);
  EXPECT_EQ(facts.blocks, 2);
  EXPECT_EQ(facts.block_shape.token_dim, 32);
  EXPECT_EQ(facts.block_shape.mlp_hidden_dim, 64);
  EXPECT_EQ(facts.embedding_dim, 32);
  EXPECT_TRUE(facts.proportional_attention);
}

TEST_F(TorchEngineTest, ReturnsWhatWasMergedAndWhatWasAskedFor) {
  const std::unique_ptr<Engine> engine = Load();
  const std::vector<uint8_t> pixels = ProceduralImage(engine->facts(), 0);
  const std::vector<int> merges = {100, 2};  // the first block has 16 patches: 8 is the cap
  const std::vector<EngineImage> batch = {
      {.pixels = pixels, .merges_per_block = merges, .want_tokens = true, .want_merge_map = true},
      {.pixels = pixels, .merges_per_block = merges}};

  const auto results = engine->Run(batch);

  ASSERT_EQ(results.size(), 2u);
  ASSERT_TRUE(results[0].ok()) << results[0].status();
  EXPECT_THAT(results[0]->merged_per_block, ElementsAre(8, 2));
  EXPECT_EQ(results[0]->tokens_out, 7);
  EXPECT_EQ(results[0]->embedding.size(), 32u);
  EXPECT_EQ(results[0]->tokens.size(), 7u * 32);
  ASSERT_TRUE(results[0]->merge_map.has_value());
  const MergeMap& map = *results[0]->merge_map;
  EXPECT_EQ(map.group_of_patch.size(), 16u);
  std::vector<float> patches_of_token(7, 0.0f);
  patches_of_token[0] = 1.0f;  // the class token
  for (const int token : map.group_of_patch) patches_of_token[token] += 1.0f;
  EXPECT_EQ(map.size, patches_of_token);
  ASSERT_TRUE(results[1].ok()) << results[1].status();
  EXPECT_TRUE(results[1]->tokens.empty());
  EXPECT_FALSE(results[1]->merge_map.has_value());
  EXPECT_EQ(results[1]->embedding, results[0]->embedding);
}

TEST_F(TorchEngineTest, PoolsTheClassTokenItReturns) {
  const std::unique_ptr<Engine> engine = Load();
  const std::vector<uint8_t> pixels = ProceduralImage(engine->facts(), 0);
  const std::vector<int> merges = {3, 3};
  const EngineImage image = {.pixels = pixels, .merges_per_block = merges, .want_tokens = true};

  const auto results = engine->Run({&image, 1});

  ASSERT_TRUE(results[0].ok()) << results[0].status();
  EXPECT_EQ(results[0]->embedding,
            std::vector<float>(results[0]->tokens.begin(), results[0]->tokens.begin() + 32));
}

TEST_F(TorchEngineTest, PoolsEachImageOfABatchAsItAsks) {
  const std::unique_ptr<Engine> engine = Load();
  const std::vector<uint8_t> pixels = ProceduralImage(engine->facts(), 0);
  const std::vector<int> merges = {0, 0};
  const EngineImage own = {.pixels = pixels, .merges_per_block = merges, .want_tokens = true};
  EngineImage mean = own;
  mean.pooling = Pooling::kMean;
  EngineImage class_token = own;
  class_token.pooling = Pooling::kClassToken;
  const std::vector<EngineImage> batch = {mean, own, class_token};

  const auto results = engine->Run(batch);

  EXPECT_EQ(results[2]->embedding, results[1]->embedding);
  std::vector<float> expected(32, 0.0f);
  for (int patch = 1; patch < 17; ++patch) {
    for (int d = 0; d < 32; ++d) expected[d] += results[0]->tokens[patch * 32 + d] / 16.0f;
  }
  EXPECT_THAT(results[0]->embedding, testing::Pointwise(testing::FloatNear(1e-5f), expected));
}

TEST_F(TorchEngineTest, SeesRedGreenAndBlueEachWithItsOwnMeanAndStd) {
  // The weights see the red channel alone, whose mean and std make 102 a zero.
  checkpoint_.config = absl::StrReplaceAll(
      checkpoint_.config, {{"\"mean\": [0.5, 0.5, 0.5]", "\"mean\": [0.4, 0.5, 0.5]"}});
  std::vector<float>& weights = checkpoint_.tensors["patch_embed.proj.weight"].values;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (i / 16 % 3 != 0) weights[i] = 0.0f;
  }
  const std::unique_ptr<Engine> engine = Load();
  checkpoint_.tensors["patch_embed.proj.weight"].values.assign(weights.size(), 0.0f);
  const std::unique_ptr<Engine> blind = Load();
  const std::vector<int> merges = {0, 0};
  const auto embed = [&](Engine& with, const std::vector<uint8_t>& pixels) {
    const EngineImage image = {.pixels = pixels, .merges_per_block = merges};
    return with.Run({&image, 1})[0]->embedding;
  };
  std::vector<uint8_t> zero_red;
  std::vector<uint8_t> other_green;
  std::vector<uint8_t> other_red;
  for (int i = 0; i < 16 * 16; ++i) {
    zero_red.insert(zero_red.end(), {102, 10, 20});
    other_green.insert(other_green.end(), {102, 200, 220});
    other_red.insert(other_red.end(), {220, 10, 20});
  }

  EXPECT_EQ(embed(*engine, zero_red), embed(*engine, other_green));
  EXPECT_NE(embed(*engine, zero_red), embed(*engine, other_red));
  EXPECT_THAT(embed(*engine, zero_red),
              testing::Pointwise(testing::FloatNear(1e-5f), embed(*blind, zero_red)));
}

TEST_F(TorchEngineTest, PassesItsSelfTest) {
  for (const std::string dtype : {"float32", "bfloat16"}) {
    for (const int threads : {1, 2}) {
      const std::unique_ptr<Engine> engine = Load(dtype, threads);

      EXPECT_EQ(SelfTest(*engine), absl::OkStatus()) << dtype << ", " << threads << " threads";
    }
  }
}

TEST_F(TorchEngineTest, GivesTheSameBitsFromAnyThread) {
  const std::unique_ptr<Engine> engine = Load("float32", 2);
  const std::vector<uint8_t> pixels = ProceduralImage(engine->facts(), 1);
  const std::vector<int> merges = {4, 1};
  const EngineImage image = {.pixels = pixels, .merges_per_block = merges};
  const std::vector<float> here = engine->Run({&image, 1})[0]->embedding;

  std::vector<float> there;
  std::thread thread([&] { there = engine->Run({&image, 1})[0]->embedding; });
  thread.join();

  EXPECT_EQ(there, here);
}

TEST_F(TorchEngineTest, FailsAnImageWhoseEmbeddingIsNotFiniteAlone) {
  // Black pixels are zeros for this model, and white ones overflow its first layer.
  checkpoint_.config = absl::StrReplaceAll(checkpoint_.config,
                                           {{"\"mean\": [0.5, 0.5, 0.5]", "\"mean\": [0, 0, 0]"}});
  for (float& weight : checkpoint_.tensors["patch_embed.proj.weight"].values) {
    weight = std::numeric_limits<float>::max();
  }
  const std::unique_ptr<Engine> engine = Load();
  const std::vector<uint8_t> black(16 * 16 * 3, 0);
  const std::vector<uint8_t> white(16 * 16 * 3, 255);
  const std::vector<int> merges = {4, 4};
  const EngineImage good = {.pixels = black, .merges_per_block = merges};
  const EngineImage bad = {.pixels = white, .merges_per_block = merges};
  const std::vector<EngineImage> batch = {good, bad, good};

  const auto results = engine->Run(batch);

  ASSERT_TRUE(results[0].ok()) << results[0].status();
  EXPECT_EQ(results[1].status(), absl::InternalError("the embedding of this image is not finite"));
  ASSERT_TRUE(results[2].ok()) << results[2].status();
  const auto alone = engine->Run({&good, 1});
  EXPECT_EQ(results[0]->embedding, alone[0]->embedding);
  EXPECT_EQ(results[2]->embedding, alone[0]->embedding);
}

TEST_F(TorchEngineTest, FailsItsSelfTestWhereWeightsAreNotFinite) {
  checkpoint_.tensors["norm.bias"].values[5] = std::numeric_limits<float>::quiet_NaN();
  const std::unique_ptr<Engine> engine = Load();

  EXPECT_EQ(SelfTest(*engine),
            absl::InternalError("self-test: image 0 of a batch of 1: the embedding of this image "
                                "is not finite"));
}

TEST_F(TorchEngineTest, ChoosesBFloat16WhereTheProcessorHasInstructionsForIt) {
  const bool has = __builtin_cpu_supports("avx512bf16");

  EXPECT_EQ(Load("auto")->facts().dtype, has ? "bfloat16" : "float32");
}

TEST_F(TorchEngineTest, RefusesADtypeItDoesNotCompute) {
  const absl::Status status = TryLoad("float16").status();

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("dtype: \"float16\" is not supported on the CPU; supported: float32, "
                        "bfloat16"));
}

TEST_F(TorchEngineTest, NamesTheTensorThatIsMissingAndNoPath) {
  checkpoint_.tensors.erase("blocks.1.mlp.fc1.bias");

  const absl::Status status = TryLoad().status();

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "blocks.1.mlp.fc1.bias: this tensor is missing");
}

TEST_F(TorchEngineTest, ReadsAllThreeFloatingPointTypes) {
  // The same weights as bfloat16 numbers, which float32 holds exactly.
  for (auto& [name, tensor] : checkpoint_.tensors) {
    for (float& value : tensor.values) value = std::round(value * 16.0f) / 16.0f;
  }
  const std::unique_ptr<Engine> whole = Load();
  const std::vector<uint8_t> pixels = ProceduralImage(whole->facts(), 0);
  const std::vector<int> merges = {4, 4};
  const EngineImage image = {.pixels = pixels, .merges_per_block = merges};
  const std::vector<float> expected = whole->Run({&image, 1})[0]->embedding;

  for (const std::string dtype : {"BF16", "F16"}) {
    checkpoint_.stored_dtype = dtype;
    const std::unique_ptr<Engine> half = Load();

    EXPECT_EQ(half->Run({&image, 1})[0]->embedding, expected) << dtype;
  }
}

}  // namespace
}  // namespace tome
