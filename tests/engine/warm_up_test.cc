#include "server/engine/warm_up.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/testing/fake_clock.h"

namespace tome {
namespace {

using ::testing::ElementsAre;

// Takes a second an image.
class SlowEngine final : public Engine {
 public:
  explicit SlowEngine(FakeClock& clock) : clock_(clock) {
    facts_.preprocessing.crop_height = 4;
    facts_.preprocessing.crop_width = 4;
    facts_.blocks = 3;
  }

  const ModelFacts& facts() const override { return facts_; }

  std::vector<absl::StatusOr<EmbeddedImage>> Run(std::span<const EngineImage> images) override {
    batches_.push_back(images.size());
    for (const EngineImage& image : images) {
      EXPECT_THAT(image.merges_per_block, ElementsAre(0, 0, 0));
      EXPECT_EQ(image.pixels.size(), 48u);
    }
    clock_.Advance(absl::Seconds(images.size()));
    std::vector<absl::StatusOr<EmbeddedImage>> results(images.size(), EmbeddedImage());
    if (images.size() == fails_at_) results.back() = absl::InternalError("broken");
    return results;
  }

  const std::vector<size_t>& batches() const { return batches_; }
  void FailAt(size_t batch) { fails_at_ = batch; }

 private:
  FakeClock& clock_;
  ModelFacts facts_;
  std::vector<size_t> batches_;
  size_t fails_at_ = 0;
};

TEST(WarmUpTest, RunsEachBatchSizeOnceAndReturnsTheTimeItTook) {
  FakeClock clock;
  SlowEngine engine(clock);

  const absl::StatusOr<absl::Duration> took = WarmUp(engine, std::vector<int>{1, 2, 8}, clock);

  ASSERT_TRUE(took.ok()) << took.status();
  EXPECT_EQ(*took, absl::Seconds(11));
  EXPECT_THAT(engine.batches(), ElementsAre(1, 2, 8));
}

TEST(WarmUpTest, ReturnsTheFirstFailure) {
  FakeClock clock;
  SlowEngine engine(clock);
  engine.FailAt(2);

  EXPECT_EQ(WarmUp(engine, std::vector<int>{1, 2, 8}, clock).status(),
            absl::InternalError("broken"));
  EXPECT_THAT(engine.batches(), ElementsAre(1, 2));
}

}  // namespace
}  // namespace tome
