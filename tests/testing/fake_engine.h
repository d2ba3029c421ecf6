#ifndef TOME_TESTS_TESTING_FAKE_ENGINE_H_
#define TOME_TESTS_TESTING_FAKE_ENGINE_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/status.h"

#include "server/base/mutex.h"
#include "server/engine/engine.h"

namespace tome {

// An engine that computes nothing worth the name: token counts and merges are those of the real
// one, values are a function of pixels and merges. Records its batches. Thread-safe, but more Run
// at a time than facts().concurrent_runs fail the test.
class FakeEngine final : public Engine {
 public:
  // One image that Run was given.
  struct Image {
    std::vector<uint8_t> pixels;
    std::vector<int> merges_per_block;
    Pooling pooling = Pooling::kModelsOwn;
    bool want_tokens = false;
    bool want_merge_map = false;
  };
  using Batch = std::vector<Image>;

  // 8 x 8 pixels in a grid of 4 x 4 patches, a class token, 3 blocks, 8 embedding dimensions.
  static ModelFacts SmallModel();

  explicit FakeEngine(ModelFacts facts = SmallModel());

  const ModelFacts& facts() const override { return facts_; }
  std::vector<absl::StatusOr<EmbeddedImage>> Run(std::span<const EngineImage> images) override
      ABSL_LOCKS_EXCLUDED(mu_);

  // The embedding of such an image.
  std::vector<float> EmbeddingOf(std::span<const uint8_t> pixels,
                                 std::span<const int> merges_per_block) const;

  // Called within each Run from now on, once the batch is recorded: to step a clock, or to keep the
  // engine busy until a Gate opens.
  void OnRun(std::function<void()> on_run) ABSL_LOCKS_EXCLUDED(mu_);
  // Each image of each Run fails with this from now on; OK ends it.
  void FailWith(absl::Status failure) ABSL_LOCKS_EXCLUDED(mu_);
  // Its device is gone from now on: each image of each Run fails with UNAVAILABLE.
  void Lose() ABSL_LOCKS_EXCLUDED(mu_);
  bool lost() const override ABSL_LOCKS_EXCLUDED(mu_);
  // What statistics() tells from now on.
  void Count(const EngineStatistics& statistics) ABSL_LOCKS_EXCLUDED(mu_);
  EngineStatistics statistics() const override ABSL_LOCKS_EXCLUDED(mu_);
  // Run returns so many results too few from now on.
  void LeaveOutResults(int count) ABSL_LOCKS_EXCLUDED(mu_);

  std::vector<Batch> batches() const ABSL_LOCKS_EXCLUDED(mu_);
  // The images of each batch so far.
  std::vector<int> batch_sizes() const ABSL_LOCKS_EXCLUDED(mu_);
  // Waits until `count` batches have begun.
  void AwaitBatches(int count) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  EmbeddedImage Embed(const EngineImage& image) const;

  const ModelFacts facts_;

  mutable Mutex mu_;
  Condition begun_;
  int running_ ABSL_GUARDED_BY(mu_) = 0;
  bool lost_ ABSL_GUARDED_BY(mu_) = false;
  EngineStatistics statistics_ ABSL_GUARDED_BY(mu_);
  std::vector<Batch> batches_ ABSL_GUARDED_BY(mu_);
  std::function<void()> on_run_ ABSL_GUARDED_BY(mu_);
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  int left_out_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace tome

#endif  // TOME_TESTS_TESTING_FAKE_ENGINE_H_
