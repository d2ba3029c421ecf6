#ifndef TOME_TESTS_SERVICE_EMBEDDING_SERVICE_FIXTURE_H_
#define TOME_TESTS_SERVICE_EMBEDDING_SERVICE_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "server/service/embedding_service.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/fake_engine.h"
#include "tests/testing/gate.h"
#include "tests/testing/metric_value.h"
#include "tests/testing/outcome.h"

namespace tome {

inline constexpr char kModel[] = "small";
inline constexpr int kMaxImages = 4;
inline constexpr absl::Duration kDefaultTimeout = absl::Seconds(30);
inline constexpr absl::Duration kMaximumTimeout = absl::Minutes(5);

// One served model with one decode thread. The compute thread runs after StartCompute only.
class EmbeddingServiceTest : public ::testing::Test {
 protected:
  EmbeddingServiceTest() : pixels_(8 * 8 * 3) {
    std::iota(pixels_.begin(), pixels_.end(), static_cast<uint8_t>(0));
  }

  ~EmbeddingServiceTest() override {
    decode_pool_.reset();
    batcher_.Stop();
    EXPECT_TRUE(service_.WaitUntilIdle(clock_.Now())) << "a call was not answered";
    EXPECT_EQ(Metric("inflight_images"), 0) << "a permit leaked";
    EXPECT_EQ(Metric("queue_images"), 0);
  }

  void ServeSmall(MergeSchedule default_schedule = {}) {
    service_.Serve({{.name = kModel,
                     .facts = &engine_.facts(),
                     .admission = &admission_,
                     .batcher = &batcher_,
                     .default_schedule = std::move(default_schedule)}});
  }
  void StartCompute() { batcher_.Start(); }

  // A valid call of the only model.
  EmbedCall Call() const {
    EmbedCall call;
    call.input = ModelPixelsInput{{.height = 8, .width = 8, .pixels = pixels_}};
    return call;
  }

  Outcome<EmbedAnswer> Embed(EmbedCall call) {
    Outcome<EmbedAnswer> outcome;
    service_.Embed(std::move(call), outcome.Callback());
    return outcome;
  }

  // The status of a call that is answered before Embed returns.
  absl::Status Refusal(EmbedCall call) {
    const Outcome<EmbedAnswer> outcome = Embed(std::move(call));
    if (!outcome.IsAnswered()) {
      ADD_FAILURE() << "the call went on its way";
      return absl::OkStatus();
    }
    return outcome.Await().status();
  }

  // Keeps the only decode thread busy until `gate` opens.
  void OccupyDecodePool(Gate& gate) {
    decode_pool_->Submit([&gate] { gate.Await(); });
  }

  double Metric(const std::string& name, const MetricLabels& labels = {}) const {
    return MetricValue(metrics_, name, labels);
  }
  double Images(const std::string& code) const {
    return Metric("images_total", {{"model", kModel}, {"code", code}});
  }
  double AllImages() const { return Metric("images_total", {{"model", kModel}}); }
  double Dropped(const std::string& reason) const {
    return Metric("dropped_images_total", {{"reason", reason}});
  }
  double Observed(const std::string& stage) const {
    return Metric("stage_duration_seconds", {{"model", kModel}, {"stage", stage}});
  }

  std::vector<uint8_t> pixels_;
  FakeClock clock_;
  FakeEngine engine_;
  Metrics metrics_;
  Admission admission_{kMaxImages, clock_, metrics_};
  std::unique_ptr<ThreadPool> decode_pool_ = std::make_unique<ThreadPool>("decode", 1);
  Batcher batcher_{kModel, engine_, clock_, metrics_, {.max_images = 8}};
  EmbeddingService service_{*decode_pool_, clock_, metrics_,
                            EmbeddingService::Options{.image_limits = {},
                                                      .default_timeout = kDefaultTimeout,
                                                      .maximum_timeout = kMaximumTimeout}};
};

}  // namespace tome

#endif  // TOME_TESTS_SERVICE_EMBEDDING_SERVICE_FIXTURE_H_
