#include "client/cli/load_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace tome::client {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

absl::Time At(double seconds) { return absl::UnixEpoch() + absl::Seconds(seconds); }

std::vector<absl::Duration> OneToMilliseconds(int count) {
  std::vector<absl::Duration> values;
  for (int i = count; i > 0; --i) values.push_back(absl::Milliseconds(i));
  return values;
}

TEST(PercentileTest, IsTheValueThatSoManyDoNotExceed) {
  EXPECT_EQ(Percentile(OneToMilliseconds(1000), 0.5), absl::Milliseconds(500));
  EXPECT_EQ(Percentile(OneToMilliseconds(1000), 0.9), absl::Milliseconds(900));
  EXPECT_EQ(Percentile(OneToMilliseconds(1000), 0.99), absl::Milliseconds(990));
  EXPECT_EQ(Percentile(OneToMilliseconds(1000), 0.999), absl::Milliseconds(999));
  EXPECT_EQ(Percentile(OneToMilliseconds(3), 0.5), absl::Milliseconds(2));
}

TEST(PercentileTest, OfTooFewValuesIsNotMadeUp) {
  EXPECT_EQ(Percentile({}, 0.5), std::nullopt);
  EXPECT_EQ(Percentile(OneToMilliseconds(999), 0.999), std::nullopt);
  EXPECT_EQ(Percentile(OneToMilliseconds(99), 0.99), std::nullopt);
  EXPECT_EQ(Percentile(OneToMilliseconds(100), 0.99), absl::Milliseconds(99));
}

// Windows of a second from second 10 on.
class LoadRecordTest : public ::testing::Test {
 protected:
  void Add(double due, double latency, absl::StatusCode code = absl::StatusCode::kOk) {
    AddTo(record_, due, latency, code);
  }
  static void AddTo(LoadRecord& record, double due, double latency,
                    absl::StatusCode code = absl::StatusCode::kOk) {
    record.Ended(record.Sent(At(due)), At(due + latency), code, {});
  }

  LoadRecord record_{At(10), absl::Seconds(1), LoadRecord::Steady::kRate};
};

TEST_F(LoadRecordTest, CountsAnImageInTheWindowInWhichItWasDue) {
  Add(9.9, 0.2);   // warm-up
  Add(10.0, 1.5);  // ends in the second window
  Add(10.9, 0.3);
  Add(11.0, 0.1);

  ASSERT_EQ(record_.WholeWindows(At(12)), 2);
  EXPECT_EQ(record_.Window(0).embedded, 2);
  EXPECT_EQ(record_.Window(0).images_per_second, 2.0);
  EXPECT_EQ(record_.Window(0).median_latency, absl::Seconds(0.3));
  EXPECT_EQ(record_.Window(1).embedded, 1);
  EXPECT_EQ(record_.Windows(0, 2).images_per_second, 1.5);
  EXPECT_EQ(record_.Samples(0, 2).size(), 3u);
}

TEST_F(LoadRecordTest, AWindowIsWholeWhenItsLastImageHasEnded) {
  const size_t slow = record_.Sent(At(10.5));
  Add(11.5, 0.1);

  EXPECT_EQ(record_.WholeWindows(At(10.9)), 0);
  EXPECT_EQ(record_.WholeWindows(At(12)), 0);
  record_.Ended(slow, At(12.5), absl::StatusCode::kOk, {});
  EXPECT_EQ(record_.WholeWindows(At(12.5)), 2);
}

TEST_F(LoadRecordTest, AWindowWithoutImagesIsWholeAndEmpty) {
  Add(12.5, 0.1);

  EXPECT_EQ(record_.WholeWindows(At(14)), 4);
  EXPECT_EQ(record_.Window(1).embedded, 0);
  EXPECT_EQ(record_.Window(1).median_latency, std::nullopt);
  EXPECT_EQ(record_.Window(2).embedded, 1);
  EXPECT_EQ(record_.Window(3).embedded, 0);
  EXPECT_FALSE(record_.IsSteady(4));
}

TEST_F(LoadRecordTest, CountsErrorsApart) {
  Add(10.1, 0.1);
  Add(10.2, 9.0, absl::StatusCode::kDeadlineExceeded);
  Add(10.3, 0.0, absl::StatusCode::kResourceExhausted);
  Add(10.4, 0.0, absl::StatusCode::kResourceExhausted);

  const LoadWindow window = record_.Window(0);

  EXPECT_EQ(window.embedded, 1);
  EXPECT_EQ(window.median_latency, std::nullopt) << "half of one image";
  EXPECT_THAT(window.errors, ElementsAre(Pair(absl::StatusCode::kDeadlineExceeded, 1),
                                         Pair(absl::StatusCode::kResourceExhausted, 2)));
}

TEST_F(LoadRecordTest, IsSteadyWhenThreeWindowsHaveRatesWithinATenth) {
  const auto add_images = [&](int window, int count) {
    for (int i = 0; i < count; ++i) Add(10.0 + window + i * 0.01, 0.1 + 0.1 * window);
  };
  add_images(0, 50);
  add_images(1, 20);
  add_images(2, 22);
  add_images(3, 21);
  add_images(4, 23);

  EXPECT_FALSE(record_.IsSteady(2));
  EXPECT_FALSE(record_.IsSteady(3)) << "50, 20, 22";
  EXPECT_TRUE(record_.IsSteady(4)) << "20, 22, 21";
  EXPECT_TRUE(record_.IsSteady(5)) << "22, 21, 23";
}

TEST_F(LoadRecordTest, AnOpenLoopIsSteadyByItsMedianLatency) {
  LoadRecord open(At(0), absl::Seconds(1), LoadRecord::Steady::kMedianLatency);
  for (const auto& [window, latency] :
       {std::pair(0, 0.10), std::pair(1, 0.12), std::pair(2, 0.125), std::pair(3, 0.13)}) {
    for (int i = 0; i < 10 * (window + 1); ++i) AddTo(open, window + i * 0.01, latency);
  }

  EXPECT_FALSE(open.IsSteady(3));
  EXPECT_TRUE(open.IsSteady(4));
}

}  // namespace
}  // namespace tome::client
