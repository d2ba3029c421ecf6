#include "server/scheduler/batcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/testing/fake_clock.h"
#include "tests/testing/fake_engine.h"
#include "tests/testing/gate.h"
#include "tests/testing/metric_value.h"
#include "tests/testing/outcome.h"

namespace tome {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kModel[] = "small";
// Tokens before the first block of FakeEngine::SmallModel: 4 x 4 patches and a class token.
constexpr int kTokens = 17;

class BatcherTest : public ::testing::Test {
 protected:
  BatcherTest() {
    Metrics::ModelInfo info;
    info.device = engine_.facts().device;
    metrics_.AddModel(kModel, info);
  }

  Batcher MakeBatcher(const Batcher::Limits& limits = {}) {
    return Batcher(kModel, engine_, clock_, metrics_, limits);
  }

  // An image all of whose pixels are `shade`.
  static EmbedTask Task(int shade, int r = 0) {
    EmbedTask task;
    task.pixels.assign(8 * 8 * 3, static_cast<uint8_t>(shade));
    task.merges_per_block = {r, r, r};
    return task;
  }

  static Outcome<EmbedResult> Submit(Batcher& batcher, EmbedTask task) {
    Outcome<EmbedResult> outcome;
    task.done = outcome.Callback();
    batcher.Submit(std::move(task));
    return outcome;
  }

  double Dropped(const std::string& reason) const {
    return MetricValue(metrics_, "dropped_images_total", {{"reason", reason}});
  }
  double Queued() const { return MetricValue(metrics_, "queue_images"); }

  FakeClock clock_;
  FakeEngine engine_;
  Metrics metrics_;
};

TEST_F(BatcherTest, RunsImagesOfAnyRInOneBatchInTheOrderTheyCame) {
  Batcher batcher = MakeBatcher();
  const auto exact = Submit(batcher, Task(1, 0));
  const auto merged = Submit(batcher, Task(2, 4));
  const auto capped = Submit(batcher, Task(3, 100));

  EXPECT_TRUE(batcher.RunOneBatch());

  ASSERT_THAT(engine_.batch_sizes(), ElementsAre(3));
  EXPECT_EQ(engine_.batches()[0][0].pixels, Task(1).pixels);
  EXPECT_THAT(engine_.batches()[0][1].merges_per_block, ElementsAre(4, 4, 4));
  EXPECT_EQ(exact.Await()->image.embedding,
            engine_.EmbeddingOf(Task(1).pixels, std::vector<int>{0, 0, 0}));
  EXPECT_EQ(merged.Await()->image.embedding,
            engine_.EmbeddingOf(Task(2).pixels, std::vector<int>{4, 4, 4}));
  EXPECT_THAT(capped.Await()->image.merged_per_block, ElementsAre(8, 4, 2));
  EXPECT_EQ(capped.Await()->batch_images, 3);
}

TEST_F(BatcherTest, PassesOnWhatTheCallerWantsBesideTheVector) {
  Batcher batcher = MakeBatcher();
  EmbedTask task = Task(1);
  task.pooling = Pooling::kMean;
  task.want_tokens = true;
  task.want_merge_map = true;
  const auto all = Submit(batcher, std::move(task));
  const auto vector_only = Submit(batcher, Task(2));

  batcher.RunOneBatch();

  EXPECT_TRUE(all.Await()->image.merge_map.has_value());
  EXPECT_EQ(all.Await()->image.tokens.size(), 4u * kTokens);
  EXPECT_FALSE(vector_only.Await()->image.merge_map.has_value());
  EXPECT_THAT(vector_only.Await()->image.tokens, IsEmpty());
}

TEST_F(BatcherTest, ModelsThatShareTheirCoresTakeTurns) {
  ComputeTurns turns;
  FakeEngine other_engine;
  std::atomic<int> computing = 0;
  const auto on_run = [&computing] {
    EXPECT_EQ(++computing, 1) << "two engines compute at the same time";
    std::this_thread::yield();
    --computing;
  };
  engine_.OnRun(on_run);
  other_engine.OnRun(on_run);
  Batcher batcher = MakeBatcher({.max_images = 1});
  Batcher other("other", other_engine, clock_, metrics_, {.max_images = 1});
  std::vector<Outcome<EmbedResult>> outcomes;
  for (Batcher* each : {&batcher, &other}) {
    each->ShareCores(turns);
    for (int i = 0; i < 50; ++i) outcomes.push_back(Submit(*each, Task(i)));
  }

  batcher.Start();
  other.Start();

  for (const auto& outcome : outcomes) EXPECT_TRUE(outcome.Await().ok());
}

TEST_F(BatcherTest, HasNothingToRunWhenNothingIsQueued) {
  Batcher batcher = MakeBatcher();

  EXPECT_FALSE(batcher.RunOneBatch());

  EXPECT_THAT(engine_.batches(), IsEmpty());
}

TEST_F(BatcherTest, AnIdleEngineTakesWhatIsQueuedAtOnce) {
  Batcher batcher = MakeBatcher({.max_images = 8});
  batcher.Start();

  // The clock stands still: no timer could end a wait.
  const auto outcome = Submit(batcher, Task(1));

  EXPECT_TRUE(outcome.Await().ok()) << outcome.Await().status();
  EXPECT_THAT(engine_.batch_sizes(), ElementsAre(1));
}

TEST_F(BatcherTest, WhatArrivesWhileTheEngineWorksIsTheNextBatch) {
  Gate gate;
  engine_.OnRun([&gate] { gate.Await(); });
  Batcher batcher = MakeBatcher();
  batcher.Start();
  std::vector<Outcome<EmbedResult>> outcomes = {Submit(batcher, Task(1))};
  engine_.AwaitBatches(1);

  for (int shade = 2; shade < 5; ++shade) outcomes.push_back(Submit(batcher, Task(shade)));
  gate.Open();

  for (const auto& outcome : outcomes) EXPECT_TRUE(outcome.Await().ok());
  EXPECT_THAT(engine_.batch_sizes(), ElementsAre(1, 3));
}

TEST_F(BatcherTest, BoundsABatchByImages) {
  Batcher batcher = MakeBatcher({.max_images = 2});
  for (int shade = 0; shade < 5; ++shade) Submit(batcher, Task(shade));

  while (batcher.RunOneBatch()) {
  }

  EXPECT_THAT(engine_.batch_sizes(), ElementsAre(2, 2, 1));
}

TEST_F(BatcherTest, BoundsABatchByTheTokensBeforeItsFirstBlock) {
  Batcher batcher = MakeBatcher({.max_images = 8, .max_tokens = 3 * kTokens - 1});
  for (int shade = 0; shade < 3; ++shade) Submit(batcher, Task(shade, /*r=*/8));

  while (batcher.RunOneBatch()) {
  }

  EXPECT_THAT(engine_.batch_sizes(), ElementsAre(2, 1));
}

TEST_F(BatcherTest, RunsAnImageOfMoreTokensThanTheBoundAlone) {
  Batcher batcher = MakeBatcher({.max_tokens = kTokens - 1});
  Submit(batcher, Task(1));
  Submit(batcher, Task(2));

  while (batcher.RunOneBatch()) {
  }

  EXPECT_THAT(engine_.batch_sizes(), ElementsAre(1, 1));
}

TEST_F(BatcherTest, DropsAnExpiredImageBeforeItCostsCompute) {
  Batcher batcher = MakeBatcher();
  EmbedTask task = Task(1);
  task.deadline = clock_.Now() + absl::Milliseconds(5);
  const auto late = Submit(batcher, std::move(task));

  clock_.Advance(absl::Milliseconds(5));
  EXPECT_TRUE(batcher.RunOneBatch());

  EXPECT_EQ(late.Await().status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(engine_.batches(), IsEmpty());
  EXPECT_EQ(Dropped("expired"), 1);
  EXPECT_EQ(Dropped("cancelled"), 0);
  EXPECT_EQ(Queued(), 0);
  EXPECT_EQ(MetricValue(metrics_, "batch_images"), 0) << "an empty batch is none";
}

TEST_F(BatcherTest, DropsACancelledImageBeforeItCostsCompute) {
  Batcher batcher = MakeBatcher();
  EmbedTask task = Task(1);
  Cancellation cancellation = task.cancellation;
  const auto gone = Submit(batcher, std::move(task));

  cancellation.Cancel();
  EXPECT_TRUE(batcher.RunOneBatch());

  EXPECT_EQ(gone.Await().status().code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(engine_.batches(), IsEmpty());
  EXPECT_EQ(Dropped("cancelled"), 1);
  EXPECT_EQ(Dropped("expired"), 0);
}

TEST_F(BatcherTest, ADroppedImageTakesNoPlaceInTheBatch) {
  Batcher batcher = MakeBatcher({.max_images = 2});
  EmbedTask expired = Task(1);
  expired.deadline = clock_.Now();
  Submit(batcher, std::move(expired));
  Submit(batcher, Task(2));
  Submit(batcher, Task(3));

  batcher.RunOneBatch();

  EXPECT_THAT(engine_.batch_sizes(), ElementsAre(2));
}

TEST_F(BatcherTest, AnImageCancelledInItsBatchIsAnsweredAllTheSame) {
  Batcher batcher = MakeBatcher();
  EmbedTask task = Task(1);
  Cancellation cancellation = task.cancellation;
  engine_.OnRun([&cancellation] { cancellation.Cancel(); });
  const auto outcome = Submit(batcher, std::move(task));

  batcher.RunOneBatch();

  EXPECT_TRUE(outcome.Await().ok()) << outcome.Await().status();
  EXPECT_EQ(Dropped("cancelled"), 0);
}

TEST_F(BatcherTest, ADelayWaitsForCompanyAsLongAsTheFirstImageMayWait) {
  Batcher batcher = MakeBatcher({.max_images = 4, .max_delay = absl::Milliseconds(10)});
  batcher.Start();
  const auto first = Submit(batcher, Task(1));
  clock_.AwaitWaiters(1);
  clock_.Advance(absl::Milliseconds(6));
  const auto second = Submit(batcher, Task(2));
  clock_.AwaitWaiters(1);
  EXPECT_THAT(engine_.batches(), IsEmpty());

  clock_.Advance(absl::Milliseconds(4));

  EXPECT_EQ(first.Await()->queued, absl::Milliseconds(10));
  EXPECT_EQ(second.Await()->queued, absl::Milliseconds(4));
  EXPECT_THAT(engine_.batch_sizes(), ElementsAre(2));
}

TEST_F(BatcherTest, WaitingForTheEngineCountsAsDelay) {
  Gate gate;
  engine_.OnRun([&gate] { gate.Await(); });
  Batcher batcher = MakeBatcher({.max_images = 4, .max_delay = absl::Milliseconds(10)});
  const auto running = Submit(batcher, Task(1));
  clock_.Advance(absl::Milliseconds(10));
  batcher.Start();
  engine_.AwaitBatches(1);
  const auto queued = Submit(batcher, Task(2));
  clock_.Advance(absl::Milliseconds(10));

  gate.Open();

  EXPECT_EQ(running.Await()->queued, absl::Milliseconds(10));
  EXPECT_EQ(queued.Await()->queued, absl::Milliseconds(10));
}

TEST_F(BatcherTest, AFullBatchEndsTheDelay) {
  Batcher batcher = MakeBatcher({.max_images = 2, .max_delay = absl::Milliseconds(10)});
  batcher.Start();
  const auto first = Submit(batcher, Task(1));
  clock_.AwaitWaiters(1);

  const auto second = Submit(batcher, Task(2));

  EXPECT_EQ(first.Await()->queued, absl::ZeroDuration());
  EXPECT_EQ(second.Await()->batch_images, 2);
}

TEST_F(BatcherTest, StopEndsTheDelayAndRunsWhatIsQueued) {
  Batcher batcher = MakeBatcher({.max_images = 2, .max_delay = absl::Hours(1)});
  batcher.Start();
  const auto outcome = Submit(batcher, Task(1));
  clock_.AwaitWaiters(1);

  batcher.Stop();

  ASSERT_TRUE(outcome.IsAnswered());
  EXPECT_TRUE(outcome.Await().ok()) << outcome.Await().status();
}

TEST_F(BatcherTest, StopFinishesTheBatchUnderWayAndAllThatIsQueued) {
  Gate gate;
  engine_.OnRun([&gate] { gate.Await(); });
  Batcher batcher = MakeBatcher({.max_images = 2});
  batcher.Start();
  std::vector<Outcome<EmbedResult>> outcomes = {Submit(batcher, Task(0))};
  engine_.AwaitBatches(1);
  for (int shade = 1; shade < 4; ++shade) outcomes.push_back(Submit(batcher, Task(shade)));

  std::thread opener([&gate] { gate.Open(); });
  batcher.Stop();
  opener.join();

  for (const auto& outcome : outcomes) {
    ASSERT_TRUE(outcome.IsAnswered());
    EXPECT_TRUE(outcome.Await().ok()) << outcome.Await().status();
  }
  EXPECT_THAT(engine_.batch_sizes(), ElementsAre(1, 2, 1));
}

TEST_F(BatcherTest, StopFinishesWhatIsQueuedThoughItWasNeverStarted) {
  Batcher batcher = MakeBatcher({.max_images = 2});
  std::vector<Outcome<EmbedResult>> outcomes;
  for (int shade = 0; shade < 3; ++shade) outcomes.push_back(Submit(batcher, Task(shade)));

  batcher.Stop();

  for (const auto& outcome : outcomes) EXPECT_TRUE(outcome.IsAnswered());
}

TEST_F(BatcherTest, AnswersUnavailableAfterStop) {
  Batcher batcher = MakeBatcher();
  batcher.Start();
  batcher.Stop();
  batcher.Stop();

  const auto outcome = Submit(batcher, Task(1));

  ASSERT_TRUE(outcome.IsAnswered());
  EXPECT_EQ(outcome.Await().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Queued(), 0);
}

TEST_F(BatcherTest, PassesTheEnginesFailureOn) {
  Batcher batcher = MakeBatcher();
  engine_.FailWith(absl::InternalError("the embedding is not finite"));
  const auto outcome = Submit(batcher, Task(1));

  batcher.RunOneBatch();

  EXPECT_EQ(outcome.Await().status(), absl::InternalError("the embedding is not finite"));
  EXPECT_EQ(MetricValue(metrics_, "merged_tokens_ratio", {{"model", kModel}}), 0)
      << "only embedded images tell what merging did";
}

TEST_F(BatcherTest, AnImageWithoutAResultIsAnInternalError) {
  Batcher batcher = MakeBatcher();
  engine_.LeaveOutResults(1);
  const auto first = Submit(batcher, Task(1));
  const auto second = Submit(batcher, Task(2));

  batcher.RunOneBatch();

  EXPECT_TRUE(first.Await().ok()) << first.Await().status();
  EXPECT_EQ(second.Await().status().code(), absl::StatusCode::kInternal);
}

TEST_F(BatcherTest, ForgetsAnImageOnceItIsAnswered) {
  Batcher batcher = MakeBatcher();
  auto captured = std::make_shared<int>(0);
  const std::weak_ptr<int> watch = captured;
  EmbedTask first = Task(1);
  first.done = [captured = std::move(captured)](const absl::StatusOr<EmbedResult>&) {};
  batcher.Submit(std::move(first));
  bool forgotten = false;
  EmbedTask second = Task(2);
  second.done = [&](const absl::StatusOr<EmbedResult>&) { forgotten = watch.expired(); };
  batcher.Submit(std::move(second));

  batcher.RunOneBatch();

  EXPECT_TRUE(forgotten) << "the first image's callback outlived its answer";
}

TEST_F(BatcherTest, ADoneMaySubmitTheNextImage) {
  Batcher batcher = MakeBatcher();
  Outcome<EmbedResult> next;
  EmbedTask task = Task(1);
  task.done = [&](const absl::StatusOr<EmbedResult>&) {
    EmbedTask follower = Task(2);
    follower.done = next.Callback();
    batcher.Submit(std::move(follower));
  };
  batcher.Submit(std::move(task));

  while (batcher.RunOneBatch()) {
  }

  EXPECT_TRUE(next.IsAnswered());
}

TEST_F(BatcherTest, TellsAndRecordsWhereTheTimeWent) {
  engine_.OnRun([this] { clock_.Advance(absl::Milliseconds(40)); });
  Batcher batcher = MakeBatcher();
  const auto first = Submit(batcher, Task(1, /*r=*/2));
  clock_.Advance(absl::Milliseconds(7));
  const auto second = Submit(batcher, Task(2));
  clock_.Advance(absl::Milliseconds(3));
  EXPECT_EQ(Queued(), 2);

  batcher.RunOneBatch();

  EXPECT_EQ(first.Await()->queued, absl::Milliseconds(10));
  EXPECT_EQ(second.Await()->queued, absl::Milliseconds(3));
  EXPECT_EQ(first.Await()->compute, absl::Milliseconds(40));
  EXPECT_EQ(Queued(), 0);
  EXPECT_EQ(HistogramSum(metrics_, "batch_images"), 2);
  EXPECT_EQ(HistogramSum(metrics_, "batch_tokens"), 2 * kTokens);
  const MetricLabels queue = {{"model", kModel}, {"stage", "queue"}};
  EXPECT_EQ(MetricValue(metrics_, "stage_duration_seconds", queue), 2);
  EXPECT_NEAR(HistogramSum(metrics_, "stage_duration_seconds", queue), 0.013, 1e-9);
  const MetricLabels compute = {{"model", kModel}, {"stage", "compute"}};
  EXPECT_EQ(MetricValue(metrics_, "stage_duration_seconds", compute), 2);
  EXPECT_NEAR(MetricValue(metrics_, "engine_busy_seconds_total", {{"device", "cpu"}}), 0.040, 1e-9);
  EXPECT_EQ(MetricValue(metrics_, "tokens_total", {{"model", kModel}, {"state", "in"}}),
            2 * kTokens);
  EXPECT_EQ(MetricValue(metrics_, "tokens_total", {{"model", kModel}, {"state", "merged"}}), 6);
}

// Outcome fails the test on a second answer, Await would hang without a first.
TEST_F(BatcherTest, AnswersEachImageOnceUnderManyThreadsAndRandomCancels) {
  constexpr int kThreads = 64;
  constexpr int kImages = 25;
  Batcher batcher = MakeBatcher({.max_images = 7, .max_tokens = 5 * kTokens});
  batcher.Start();
  std::vector<std::thread> threads;
  std::vector<std::vector<Outcome<EmbedResult>>> outcomes(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(t + 1);
      std::vector<Cancellation> cancellations;
      for (int i = 0; i < kImages; ++i) {
        EmbedTask task = Task(t, static_cast<int>(random() % 5));
        if (random() % 8 == 0) task.deadline = clock_.Now();
        cancellations.push_back(task.cancellation);
        outcomes[t].push_back(Submit(batcher, std::move(task)));
        if (random() % 3 == 0) cancellations[random() % cancellations.size()].Cancel();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  batcher.Stop();

  int embedded = 0;
  int cancelled = 0;
  int expired = 0;
  for (const auto& of_thread : outcomes) {
    for (const auto& outcome : of_thread) {
      const absl::Status status = outcome.Await().status();
      embedded += status.ok();
      cancelled += absl::IsCancelled(status);
      expired += absl::IsDeadlineExceeded(status);
    }
  }
  EXPECT_EQ(embedded + cancelled + expired, kThreads * kImages);
  EXPECT_GT(expired, 0);
  EXPECT_EQ(Dropped("cancelled"), cancelled);
  EXPECT_EQ(Dropped("expired"), expired);
  EXPECT_EQ(HistogramSum(metrics_, "batch_images"), embedded);
  EXPECT_THAT(engine_.batch_sizes(), ::testing::Each(::testing::Le(5)));
  EXPECT_EQ(Queued(), 0);
}

}  // namespace
}  // namespace tome
