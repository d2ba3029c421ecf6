#include "tests/testing/fake_engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "server/merge/merge_plan.h"

namespace tome {

ModelFacts FakeEngine::SmallModel() {
  ModelFacts facts;
  facts.architecture = "fake_small_patch2_8";
  facts.family = "vit";
  facts.dtype = "float32";
  facts.device = "cpu";
  facts.weights_digest = "0123456789abcdef";
  facts.preprocessing.resize_height = 8;
  facts.preprocessing.resize_width = 8;
  facts.preprocessing.crop_height = 8;
  facts.preprocessing.crop_width = 8;
  facts.patch_size = 2;
  facts.grid_height = 4;
  facts.grid_width = 4;
  facts.prefix_tokens = 1;
  facts.blocks = 3;
  facts.block_shape = {.token_dim = 4, .mlp_hidden_dim = 16};
  facts.embedding_dim = 8;
  return facts;
}

FakeEngine::FakeEngine(ModelFacts facts) : facts_(std::move(facts)) {}

std::vector<absl::StatusOr<EmbeddedImage>> FakeEngine::Run(std::span<const EngineImage> images) {
  std::function<void()> on_run;
  {
    MutexLock lock(mu_);
    EXPECT_LT(running_, facts_.concurrent_runs) << "calls of Run at a time";
    ++running_;
    Batch& batch = batches_.emplace_back();
    for (const EngineImage& image : images) {
      batch.push_back(
          {.pixels = {image.pixels.begin(), image.pixels.end()},
           .merges_per_block = {image.merges_per_block.begin(), image.merges_per_block.end()},
           .pooling = image.pooling,
           .want_tokens = image.want_tokens,
           .want_merge_map = image.want_merge_map});
    }
    begun_.NotifyAll();
    on_run = on_run_;
  }
  if (on_run) on_run();

  MutexLock lock(mu_);
  --running_;
  std::vector<absl::StatusOr<EmbeddedImage>> results;
  for (const EngineImage& image : images.first(images.size() - left_out_)) {
    if (failure_.ok()) {
      results.push_back(Embed(image));
    } else {
      results.push_back(failure_);
    }
  }
  return results;
}

EmbeddedImage FakeEngine::Embed(const EngineImage& image) const {
  const MergePlan::Image planned{
      .tokens = facts_.tokens(),
      .merges_per_block = {image.merges_per_block.begin(), image.merges_per_block.end()}};
  const MergePlan plan(std::span(&planned, 1), facts_.blocks, facts_.prefix_tokens);

  EmbeddedImage embedded;
  embedded.embedding = EmbeddingOf(image.pixels, image.merges_per_block);
  embedded.embedding.resize(facts_.EmbeddingDim(image.pooling));
  embedded.merged_per_block = plan.MergedPerBlock(0);
  embedded.tokens_out = plan.packed_tokens(facts_.blocks);
  if (image.want_tokens) {
    embedded.tokens.assign(static_cast<size_t>(embedded.tokens_out) * facts_.block_shape.token_dim,
                           0.5f);
  }
  if (image.want_merge_map) {
    // Each patch keeps its token as far as they go; the rest went into the last one.
    MergeMap& map = embedded.merge_map.emplace();
    map.size.assign(embedded.tokens_out, 0.0f);
    for (int token = 0; token < facts_.prefix_tokens; ++token) map.size[token] = 1.0f;
    for (int patch = 0; patch < facts_.tokens() - facts_.prefix_tokens; ++patch) {
      const int group = std::min(facts_.prefix_tokens + patch, embedded.tokens_out - 1);
      map.group_of_patch.push_back(group);
      map.size[group] += 1.0f;
    }
  }
  return embedded;
}

std::vector<float> FakeEngine::EmbeddingOf(std::span<const uint8_t> pixels,
                                           std::span<const int> merges_per_block) const {
  // FNV-1a over all that the embedding may depend on, then a xorshift sequence in [-1, 1).
  uint64_t state = 0xcbf29ce484222325u;
  const auto mix = [&](uint64_t value) { state = (state ^ value) * 0x100000001b3u; };
  for (const uint8_t pixel : pixels) mix(pixel);
  for (const int merges : merges_per_block) mix(0x100u + static_cast<uint64_t>(merges));
  std::vector<float> embedding(facts_.embedding_dim);
  for (float& value : embedding) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    value = static_cast<float>(state >> 40) / static_cast<float>(1 << 23) - 1.0f;
  }
  return embedding;
}

void FakeEngine::OnRun(std::function<void()> on_run) {
  MutexLock lock(mu_);
  on_run_ = std::move(on_run);
}

void FakeEngine::FailWith(absl::Status failure) {
  MutexLock lock(mu_);
  failure_ = std::move(failure);
}

void FakeEngine::Lose() {
  MutexLock lock(mu_);
  lost_ = true;
  failure_ = absl::UnavailableError("the GPU is lost");
}

bool FakeEngine::lost() const {
  MutexLock lock(mu_);
  return lost_;
}

void FakeEngine::Count(const EngineStatistics& statistics) {
  MutexLock lock(mu_);
  statistics_ = statistics;
}

EngineStatistics FakeEngine::statistics() const {
  MutexLock lock(mu_);
  return statistics_;
}

void FakeEngine::LeaveOutResults(int count) {
  MutexLock lock(mu_);
  left_out_ = count;
}

std::vector<FakeEngine::Batch> FakeEngine::batches() const {
  MutexLock lock(mu_);
  return batches_;
}

std::vector<int> FakeEngine::batch_sizes() const {
  MutexLock lock(mu_);
  std::vector<int> sizes;
  for (const Batch& batch : batches_) sizes.push_back(static_cast<int>(batch.size()));
  return sizes;
}

void FakeEngine::AwaitBatches(int count) {
  MutexLock lock(mu_);
  while (static_cast<int>(batches_.size()) < count) begun_.Wait(mu_);
}

}  // namespace tome
