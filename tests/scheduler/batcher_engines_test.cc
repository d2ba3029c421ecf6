// The batcher with several engines, with engines that overlap runs, and with engines that are lost.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "server/scheduler/batcher.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/fake_engine.h"
#include "tests/testing/gate.h"
#include "tests/testing/metric_value.h"
#include "tests/testing/outcome.h"

namespace tome {
namespace {

using ::testing::ElementsAre;

constexpr char kModel[] = "small";

ModelFacts OnGpu(const std::string& device, int concurrent_runs = 1) {
  ModelFacts facts = FakeEngine::SmallModel();
  facts.device = device;
  facts.concurrent_runs = concurrent_runs;
  return facts;
}

class BatcherEnginesTest : public ::testing::Test {
 protected:
  Batcher MakeBatcher(const std::vector<Engine*>& engines) {
    return Batcher(kModel, engines, clock_, metrics_, {.max_images = 2});
  }

  static Outcome<EmbedResult> Submit(Batcher& batcher, int shade = 0) {
    Outcome<EmbedResult> outcome;
    EmbedTask task;
    task.pixels.assign(8 * 8 * 3, static_cast<uint8_t>(shade));
    task.merges_per_block = {0, 0, 0};
    task.done = outcome.Callback();
    batcher.Submit(std::move(task));
    return outcome;
  }

  FakeClock clock_;
  Metrics metrics_;
};

TEST_F(BatcherEnginesTest, EnginesShareTheQueue) {
  FakeEngine first(OnGpu("cuda:0"));
  FakeEngine second(OnGpu("cuda:1"));
  Gate gate;
  first.OnRun([&] { gate.Await(); });
  second.OnRun([&] { gate.Await(); });
  Batcher batcher = MakeBatcher({&first, &second});
  batcher.Start();

  const auto one = Submit(batcher);
  const auto other = Submit(batcher);
  const auto third = Submit(batcher);
  const auto fourth = Submit(batcher);
  // One engine alone could not begin both.
  first.AwaitBatches(1);
  second.AwaitBatches(1);
  gate.Open();

  for (const auto& outcome : {one, other, third, fourth}) EXPECT_TRUE(outcome.Await().ok());
}

TEST_F(BatcherEnginesTest, ABusyEngineTakesAheadAFullBatchOnly) {
  FakeEngine engine(OnGpu("cuda:0", /*concurrent_runs=*/2));
  Gate gate;
  engine.OnRun([&] { gate.Await(); });
  Batcher batcher = MakeBatcher({&engine});
  batcher.Start();
  const auto running = Submit(batcher);
  engine.AwaitBatches(1);

  const auto waiting = Submit(batcher);
  const auto company = Submit(batcher);
  engine.AwaitBatches(2);

  EXPECT_THAT(engine.batch_sizes(), ElementsAre(1, 2));
  gate.Open();
  for (const auto& outcome : {running, waiting, company}) EXPECT_TRUE(outcome.Await().ok());
}

TEST_F(BatcherEnginesTest, WithoutItsLastEngineEverythingIsAnsweredUnavailable) {
  FakeEngine engine(OnGpu("cuda:0"));
  engine.OnRun([&] { engine.Lose(); });
  Batcher batcher = MakeBatcher({&engine});
  int times_lost = 0;
  batcher.OnEnginesLost([&] { ++times_lost; });
  const auto held = Submit(batcher);
  const auto held_too = Submit(batcher);
  const auto queued = Submit(batcher);

  EXPECT_TRUE(batcher.RunOneBatch());
  const auto late = Submit(batcher);

  for (const auto& outcome : {held, held_too, queued, late}) {
    EXPECT_EQ(outcome.Await().status().code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_EQ(times_lost, 1);
  EXPECT_EQ(MetricValue(metrics_, "queue_images"), 0);
  EXPECT_FALSE(batcher.RunOneBatch());
  EXPECT_THAT(engine.batch_sizes(), ElementsAre(2));
}

TEST_F(BatcherEnginesTest, GoesOnWithTheEnginesThatAreLeft) {
  FakeEngine lost(OnGpu("cuda:0"));
  FakeEngine left(OnGpu("cuda:1"));
  lost.OnRun([&] { lost.Lose(); });
  Batcher batcher = MakeBatcher({&lost, &left});
  int times_lost = 0;
  batcher.OnEnginesLost([&] { ++times_lost; });
  const auto is_lost = [&](const std::string& device) {
    return MetricValue(metrics_, "device_lost", {{"device", device}});
  };
  EXPECT_EQ(is_lost("cuda:0"), 0);
  const auto held = Submit(batcher);
  EXPECT_TRUE(batcher.RunOneBatch());

  const auto next = Submit(batcher);
  EXPECT_TRUE(batcher.RunOneBatch());

  EXPECT_EQ(held.Await().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(next.Await().ok());
  EXPECT_THAT(left.batch_sizes(), ElementsAre(1));
  EXPECT_EQ(times_lost, 0);
  EXPECT_EQ(is_lost("cuda:0"), 1);
  EXPECT_EQ(is_lost("cuda:1"), 0);
}

TEST_F(BatcherEnginesTest, ALostEnginesThreadsEnd) {
  FakeEngine engine(OnGpu("cuda:0", /*concurrent_runs=*/2));
  engine.OnRun([&] { engine.Lose(); });
  Batcher batcher = MakeBatcher({&engine});
  batcher.Start();

  EXPECT_EQ(Submit(batcher).Await().status().code(), absl::StatusCode::kUnavailable);

  batcher.Stop();
}

TEST_F(BatcherEnginesTest, CountsWhatTheEngineCounts) {
  FakeEngine engine(OnGpu("cuda:0"));
  Batcher batcher = MakeBatcher({&engine});
  const auto passes = [&](const std::string& how) {
    return MetricValue(metrics_, "engine_passes_total", {{"device", "cuda:0"}, {"how", how}});
  };
  EXPECT_EQ(passes("graph"), 0);

  for (int run = 1; run <= 3; ++run) {
    engine.Count({.graph_runs = static_cast<uint64_t>(run - 1),
                  .eager_runs = 1,
                  .copy_seconds = 0.25 * run,
                  .pass_seconds = 1.0 * run});
    const auto outcome = Submit(batcher);
    batcher.RunOneBatch();
  }

  EXPECT_EQ(passes("graph"), 2);
  EXPECT_EQ(passes("eager"), 1);
  EXPECT_EQ(MetricValue(metrics_, "engine_copy_seconds_total", {{"device", "cuda:0"}}), 0.75);
}

}  // namespace
}  // namespace tome
