#include "client/cli/load_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <utility>
#include <vector>

namespace tome::client {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::SizeIs;

// A server that embeds one image after the other, and the time in which it does: time passes only
// while the run waits, or while something holds it up. No thread but the test's own.
class ServerInFakeTime final : public LoadClock, public LoadTarget {
 public:
  // How long the image of this number takes.
  std::function<absl::Duration(int64_t)> service = [](int64_t) { return absl::Milliseconds(100); };
  std::function<absl::Status(int64_t)> status = [](int64_t) { return absl::OkStatus(); };
  // Sending the image of this number takes so long.
  std::function<absl::Duration(int64_t)> held_up = [](int64_t) { return absl::ZeroDuration(); };

  absl::Time Now() const override { return now_; }

  void WaitUntil(std::condition_variable&, std::unique_lock<std::mutex>& lock,
                 absl::Time deadline) override {
    if (under_way_.empty() || under_way_.front().ends > deadline) {
      ASSERT_LT(deadline, absl::InfiniteFuture()) << "nobody would ever wake the run";
      now_ = std::max(now_, deadline);
      return;
    }
    Image image = std::move(under_way_.front());
    under_way_.pop_front();
    now_ = std::max(now_, image.ends);
    absl::StatusOr<Embedding> answer = Embedding();
    if (absl::Status failed = status(image.number); !failed.ok()) answer = std::move(failed);
    lock.unlock();
    image.done(std::move(answer));
    lock.lock();
  }

  void Send(int64_t number, std::optional<Schedule> schedule, Done done) override {
    now_ += held_up(number);
    free_ = std::max(free_, now_) + service(number);
    under_way_.push_back({number, free_, std::move(done)});
    most_under_way = std::max(most_under_way, under_way_.size());
    if (schedule) ++sent_at_r[std::get<ConstantSchedule>(*schedule).r];
    ++sent;
  }

  void Cancel() override {
    for (Image& image : std::exchange(under_way_, {})) image.done(absl::CancelledError());
  }

  int64_t sent = 0;
  size_t most_under_way = 0;
  std::map<uint32_t, int> sent_at_r;

 private:
  struct Image {
    int64_t number;
    absl::Time ends;
    Done done;
  };

  absl::Time now_ = absl::UnixEpoch();
  absl::Time free_ = absl::InfinitePast();
  std::deque<Image> under_way_;
};

class LoadRunTest : public ::testing::Test {
 protected:
  LoadRunTest() { options_.concurrency = 4; }

  LoadResult Run() {
    return RunLoad(
        server_, server_, options_, [this] { return interrupted_(); },
        [this](const LoadWindow& window) { told_.push_back(window); });
  }

  static LoadWindow Total(const LoadResult& result) {
    return result.record.Windows(result.first_window, result.end_window);
  }
  static std::vector<absl::Duration> Latencies(const LoadResult& result) {
    std::vector<absl::Duration> latencies;
    for (const LoadSample& sample : result.record.Samples(result.first_window, result.end_window)) {
      latencies.push_back(sample.latency());
    }
    std::sort(latencies.begin(), latencies.end());
    return latencies;
  }

  ServerInFakeTime server_;
  LoadOptions options_;  // two seconds of warm-up, then windows of five for a minute at most
  std::function<bool()> interrupted_ = [] { return false; };
  std::vector<LoadWindow> told_;
};

TEST_F(LoadRunTest, AClosedLoopSendsTheNextImageWhenOneIsAnswered) {
  const LoadResult result = Run();

  EXPECT_TRUE(result.steady);
  EXPECT_EQ(server_.most_under_way, 4u);
  EXPECT_THAT(told_, SizeIs(3));
  EXPECT_NEAR(Total(result).images_per_second, 10.0, 0.1);
  // Each waits for three others.
  EXPECT_EQ(Latencies(result).front(), absl::Milliseconds(400));
  EXPECT_EQ(Latencies(result).back(), absl::Milliseconds(400));
}

TEST_F(LoadRunTest, AnOpenLoopSendsAtItsRateWhateverTheAnswers) {
  options_.rate = 50.0;
  options_.window = absl::Seconds(20);
  server_.service = [](int64_t) { return absl::Milliseconds(2); };

  const LoadResult result = Run();

  EXPECT_TRUE(result.steady);
  EXPECT_NEAR(Total(result).images_per_second, 50.0, 2.0);
  EXPECT_EQ(Latencies(result).front(), absl::Milliseconds(2));
}

TEST_F(LoadRunTest, LatencyCountsFromTheTimeAnImageWasDueEvenIfItWasSentLate) {
  options_.rate = 100.0;
  options_.max_duration = absl::Seconds(15);
  server_.service = [](int64_t) { return absl::Milliseconds(1); };
  // Once, in the first window, everything stands still for three seconds.
  server_.held_up = [](int64_t number) { return absl::Seconds(number == 300 ? 3 : 0); };

  const LoadResult result = Run();

  ASSERT_EQ(result.first_window, 0);
  const std::vector<absl::Duration> latencies = Latencies(result);
  const auto longer = [&](absl::Duration than) {
    return latencies.end() - std::upper_bound(latencies.begin(), latencies.end(), than);
  };
  // All that were due meanwhile waited, not only the one that was being sent.
  EXPECT_NEAR(static_cast<double>(longer(absl::Seconds(1))), 200.0, 45.0);
  EXPECT_NEAR(static_cast<double>(longer(absl::Seconds(2))), 100.0, 30.0);
}

TEST_F(LoadRunTest, WhatIsDueBeforeTheEndIsSentAndWaitedForEvenIfItIsLate) {
  options_.rate = 20.0;  // of which the server does ten
  options_.max_duration = absl::Seconds(15);

  const LoadResult result = Run();

  EXPECT_FALSE(result.steady);
  EXPECT_THAT(told_, SizeIs(3));
  EXPECT_NEAR(static_cast<double>(server_.sent), 17 * 20, 60);
  EXPECT_NEAR(Total(result).embedded, 15 * 20, 60);
  // The last one waits for all that are before it.
  EXPECT_GT(Latencies(result).back(), absl::Seconds(10));
}

TEST_F(LoadRunTest, TheWarmUpIsNotMeasured) {
  server_.service = [](int64_t number) { return absl::Milliseconds(number < 4 ? 250 : 10); };

  const LoadResult result = Run();

  EXPECT_EQ(Latencies(result).back(), absl::Milliseconds(40));
  EXPECT_NEAR(Total(result).images_per_second, 100.0, 1.0);
}

TEST_F(LoadRunTest, ARunThatIsNeverSteadyEndsAndSaysSo) {
  options_.max_duration = absl::Seconds(30);
  server_.service = [](int64_t number) { return absl::Milliseconds(100 + 2 * number); };

  const LoadResult result = Run();

  EXPECT_FALSE(result.steady);
  EXPECT_THAT(told_, SizeIs(6));
  EXPECT_EQ(result.first_window, 3);
  EXPECT_EQ(result.end_window, 6);
}

TEST_F(LoadRunTest, ARunGoesOnUntilThreeSuccessiveWindowsAreAlike) {
  // Fast for ten seconds, then as usual.
  server_.service = [](int64_t number) { return absl::Milliseconds(number < 200 ? 50 : 100); };

  const LoadResult result = Run();

  EXPECT_TRUE(result.steady);
  EXPECT_GT(told_.size(), 3u);
  EXPECT_NEAR(Total(result).images_per_second, 10.0, 0.1);
}

TEST_F(LoadRunTest, ErrorsAreCountedApartAndHaveNoLatency) {
  server_.status = [](int64_t number) {
    return number % 2 == 0 ? absl::ResourceExhaustedError("full") : absl::OkStatus();
  };

  const LoadWindow total = Total(Run());

  EXPECT_NEAR(total.images_per_second, 5.0, 0.1);
  EXPECT_EQ(total.median_latency, absl::Milliseconds(400));
  EXPECT_THAT(total.errors,
              ElementsAre(Pair(absl::StatusCode::kResourceExhausted, ::testing::Gt(50))));
}

TEST_F(LoadRunTest, RIsDrawnByItsWeights) {
  options_.r = {{0, 3.0}, {16, 1.0}};

  Run();

  EXPECT_THAT(server_.sent_at_r, SizeIs(2));
  EXPECT_NEAR(static_cast<double>(server_.sent_at_r[16]) / static_cast<double>(server_.sent), 0.25,
              0.1);
}

TEST_F(LoadRunTest, AnInterruptCancelsWhatIsUnansweredAndKeepsWhatIsWhole) {
  interrupted_ = [this] { return server_.Now() >= absl::UnixEpoch() + absl::Seconds(13); };

  const LoadResult result = Run();

  EXPECT_TRUE(result.interrupted);
  EXPECT_FALSE(result.steady);
  EXPECT_EQ(result.end_window, 2);
  EXPECT_THAT(Total(result).errors, SizeIs(0));
}

}  // namespace
}  // namespace tome::client
