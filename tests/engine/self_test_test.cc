#include "server/engine/self_test.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

namespace tome {
namespace {

using ::testing::HasSubstr;

// Gives each image a result that depends on its pixels and r alone, then lets the test break it.
class PuppetEngine final : public Engine {
 public:
  // Sees a batch's results before they are returned.
  using Sabotage = std::function<void(std::vector<absl::StatusOr<EmbeddedImage>>&)>;

  explicit PuppetEngine(Sabotage sabotage) : sabotage_(std::move(sabotage)) {
    facts_.preprocessing.crop_height = 32;
    facts_.preprocessing.crop_width = 48;
    facts_.patch_size = 16;
    facts_.grid_height = 2;
    facts_.grid_width = 3;
    facts_.prefix_tokens = 1;
    facts_.blocks = 2;
    facts_.embedding_dim = 2;
  }

  const ModelFacts& facts() const override { return facts_; }

  std::vector<absl::StatusOr<EmbeddedImage>> Run(std::span<const EngineImage> images) override {
    std::vector<absl::StatusOr<EmbeddedImage>> results;
    for (const EngineImage& image : images) {
      EXPECT_EQ(image.pixels.size(), 32u * 48 * 3);
      EXPECT_EQ(image.merges_per_block.size(), 2u);
      const float sum =
          std::accumulate(image.pixels.begin(), image.pixels.end(), 0.0f) / image.pixels.size();
      EmbeddedImage result;
      result.embedding = {sum, static_cast<float>(image.merges_per_block[0])};
      result.tokens = {sum, 1.0f, sum, 2.0f};
      result.merge_map = {.group_of_patch = {0, 1, 0, 1, 0, 1}, .size = {1.0f, 3.0f, 3.0f}};
      results.push_back(std::move(result));
    }
    sabotage_(results);
    return results;
  }

 private:
  const Sabotage sabotage_;
  ModelFacts facts_;
};

using Results = std::vector<absl::StatusOr<EmbeddedImage>>;

void ExpectFailure(const PuppetEngine::Sabotage& sabotage, const std::string& what) {
  PuppetEngine engine(sabotage);
  const absl::Status status = SelfTest(engine);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr(what));
}

TEST(SelfTestTest, PassesAnEngineWhoseResultsDependOnTheImageAlone) {
  PuppetEngine engine([](Results&) {});

  EXPECT_EQ(SelfTest(engine), absl::OkStatus());
}

TEST(SelfTestTest, NoticesOneBitOfAnEmbeddingThatABatchChanges) {
  ExpectFailure(
      [](Results& results) {
        if (results.size() < 2) return;
        float& last = results.back()->embedding[1];
        last = std::nextafter(last, 1e9f);
      },
      "self-test: embedding[1] is ");
}

TEST(SelfTestTest, NoticesAMergeMapThatABatchChanges) {
  ExpectFailure(
      [](Results& results) {
        if (results.size() > 1) results[0]->merge_map->group_of_patch[4] = 1;
      },
      "self-test: patch 4 is in token 1 in a batch, in token 0 alone");
  ExpectFailure(
      [](Results& results) {
        if (results.size() > 1) results[0]->merge_map->size[2] = 4.0f;
      },
      "self-test: size[2] is 4 in a batch, 3 alone");
  ExpectFailure([](Results& results) { results[0]->merge_map.reset(); },
                "a merge map was asked for and is missing");
}

TEST(SelfTestTest, NoticesTokensThatABatchChanges) {
  ExpectFailure(
      [](Results& results) {
        if (results.size() > 1) results[0]->tokens.pop_back();
      },
      "self-test: tokens has 3 numbers in a batch, 4 alone");
}

TEST(SelfTestTest, NoticesAnEmbeddingThatIsNotFinite) {
  ExpectFailure(
      [](Results& results) {
        for (auto& result : results) {
          result->embedding[0] = std::numeric_limits<float>::infinity();
        }
      },
      "self-test: embedding[0] is inf");
}

TEST(SelfTestTest, NoticesAnEmbeddingOfAnotherLength) {
  ExpectFailure(
      [](Results& results) {
        for (auto& result : results) result->embedding.push_back(0.0f);
      },
      "self-test: the embedding has 3 numbers, the model 2");
}

TEST(SelfTestTest, PassesOnWhatTheEngineSays) {
  ExpectFailure([](Results& results) { results.back() = absl::InternalError("the pass failed"); },
                "self-test: image 0 of a batch of 1: the pass failed");
  ExpectFailure([](Results& results) { results.pop_back(); },
                "self-test: a batch of 1 gave 0 results");
}

TEST(ProceduralImageTest, IsNotOnePictureForAllSeeds) {
  PuppetEngine engine([](Results&) {});

  EXPECT_EQ(ProceduralImage(engine.facts(), 0), ProceduralImage(engine.facts(), 0));
  EXPECT_NE(ProceduralImage(engine.facts(), 0), ProceduralImage(engine.facts(), 1));
}

}  // namespace
}  // namespace tome
