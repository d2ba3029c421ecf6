#include "server/scheduler/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "server/base/status.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/metric_value.h"

namespace tome {
namespace {

class AdmissionTest : public ::testing::Test {
 protected:
  double Inflight() const { return MetricValue(metrics_, "inflight_images"); }
  double Refused() const {
    return MetricValue(metrics_, "dropped_images_total", {{"reason", "full"}});
  }

  static std::vector<Permit> AdmitEach(Admission& admission, int images) {
    std::vector<Permit> permits;
    for (int i = 0; i < images; ++i) {
      absl::StatusOr<Permit> permit = admission.Admit(1);
      EXPECT_TRUE(permit.ok()) << "image " << i << ": " << permit.status();
      if (permit.ok()) permits.push_back(*std::move(permit));
    }
    return permits;
  }

  // The hint for `images` that are refused now.
  static absl::Duration RetryAfter(Admission& admission, int images = 1) {
    const absl::StatusOr<Permit> permit = admission.Admit(images);
    EXPECT_EQ(permit.status().code(), absl::StatusCode::kResourceExhausted) << permit.status();
    return RetryAfterOf(permit.status()).value_or(-absl::InfiniteDuration());
  }

  FakeClock clock_;
  Metrics metrics_;
};

TEST_F(AdmissionTest, AdmitsUpToItsBoundAndRefusesTheNextImage) {
  Admission admission(3, clock_, metrics_);

  const std::vector<Permit> permits = AdmitEach(admission, 3);
  const absl::StatusOr<Permit> next = admission.Admit(1);

  EXPECT_EQ(next.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(next.status().message()), ::testing::HasSubstr("3 images"));
  EXPECT_EQ(Inflight(), 3);
  EXPECT_EQ(Refused(), 1);
}

TEST_F(AdmissionTest, ThoseWhoWaitGetTheirPlaceInOrderWhenOneIsGivenBack) {
  Admission admission(1, clock_, metrics_);
  absl::StatusOr<Permit> held = admission.Admit(1);
  ASSERT_TRUE(held.ok()) << held.status();
  std::vector<int> order;
  std::optional<Permit> first;
  std::optional<Permit> second;
  admission.AdmitWhenFree([&](Permit permit) {
    order.push_back(1);
    first = std::move(permit);
  });
  admission.AdmitWhenFree([&](Permit permit) {
    order.push_back(2);
    second = std::move(permit);
  });
  EXPECT_TRUE(order.empty());

  *held = Permit();
  EXPECT_EQ(order, (std::vector<int>{1}));
  EXPECT_EQ(Inflight(), 1);
  first.reset();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  second.reset();

  EXPECT_EQ(Inflight(), 0);
  EXPECT_EQ(Refused(), 0);
}

TEST_F(AdmissionTest, ThoseWhoWaitLeaveAQuarterToThoseWhoWouldBeRefused) {
  Admission admission(8, clock_, metrics_);
  std::vector<Permit> waited;
  for (int i = 0; i < 7; ++i) {
    admission.AdmitWhenFree([&](Permit permit) { waited.push_back(std::move(permit)); });
  }
  EXPECT_EQ(waited.size(), 6u);

  std::vector<Permit> others = AdmitEach(admission, 2);

  EXPECT_EQ(RetryAfter(admission), absl::Seconds(1)) << "full, without history";
  others.pop_back();
  EXPECT_EQ(waited.size(), 6u) << "those who wait have their share";
  waited.front() = Permit();
  EXPECT_EQ(waited.size(), 7u);
  EXPECT_EQ(Inflight(), 7);
}

TEST_F(AdmissionTest, PartsOfAPermitAreGivenBackOnTheirOwn) {
  Admission admission(3, clock_, metrics_);
  absl::StatusOr<Permit> all = admission.Admit(3);
  ASSERT_TRUE(all.ok()) << all.status();

  {
    const Permit one = all->Split(1);
    EXPECT_EQ(Inflight(), 3);
  }
  EXPECT_EQ(Inflight(), 2);

  *all = Permit();
  EXPECT_EQ(Inflight(), 0);
}

TEST_F(AdmissionTest, AdmitsSeveralImagesWholeOrNotAtAll) {
  Admission admission(3, clock_, metrics_);
  const absl::StatusOr<Permit> two = admission.Admit(2);
  ASSERT_TRUE(two.ok()) << two.status();

  const absl::StatusOr<Permit> two_more = admission.Admit(2);
  const absl::StatusOr<Permit> one_more = admission.Admit(1);

  EXPECT_EQ(two_more.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(one_more.ok()) << one_more.status();
  EXPECT_EQ(Inflight(), 3);
  EXPECT_EQ(Refused(), 2) << "each image of the refused call counts";
}

TEST_F(AdmissionTest, CallsWhatCouldNeverBeAdmittedInvalid) {
  Admission admission(3, clock_, metrics_);

  const absl::StatusOr<Permit> permit = admission.Admit(4);

  EXPECT_EQ(permit.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(permit.status().message()),
              ::testing::AllOf(::testing::HasSubstr("4 images"), ::testing::HasSubstr("most 3")));
  EXPECT_EQ(RetryAfterOf(permit.status()), std::nullopt);
  EXPECT_EQ(Refused(), 0);
}

TEST_F(AdmissionTest, HasRoomAgainWhenAPermitIsDestroyed) {
  Admission admission(1, clock_, metrics_);
  {
    const absl::StatusOr<Permit> permit = admission.Admit(1);
    ASSERT_TRUE(permit.ok()) << permit.status();
  }

  EXPECT_EQ(Inflight(), 0);
  EXPECT_TRUE(admission.Admit(1).ok());
}

TEST_F(AdmissionTest, GivesAMovedPermitBackOnce) {
  Admission admission(4, clock_, metrics_);
  Permit first = *admission.Admit(1);
  Permit second = *admission.Admit(2);

  Permit moved(std::move(first));
  EXPECT_EQ(Inflight(), 3);
  moved = std::move(second);
  EXPECT_EQ(Inflight(), 2) << "the permit assigned to gives its own image back";
  Permit& itself = moved;
  moved = std::move(itself);
  EXPECT_EQ(Inflight(), 2) << "moving a permit to itself keeps it";
  moved = Permit();
  EXPECT_EQ(Inflight(), 0);
}

TEST_F(AdmissionTest, HintsASecondBeforeAnythingCameBack) {
  Admission admission(1, clock_, metrics_);
  const std::vector<Permit> permits = AdmitEach(admission, 1);

  EXPECT_EQ(RetryAfter(admission), absl::Seconds(1));
}

TEST_F(AdmissionTest, HintsTheTimeInWhichTheImagesOverTheBoundCameBackLately) {
  Admission admission(4, clock_, metrics_);
  std::vector<Permit> permits = AdmitEach(admission, 4);
  clock_.Advance(absl::Milliseconds(100));
  permits.pop_back();
  permits.push_back(*admission.Admit(1));

  EXPECT_EQ(RetryAfter(admission, 1), absl::Milliseconds(100));
  EXPECT_EQ(RetryAfter(admission, 3), absl::Milliseconds(300));
}

TEST_F(AdmissionTest, TakesTheRateOfBatchesWhosePermitsComeBackTogether) {
  Admission admission(8, clock_, metrics_);
  for (int batch = 0; batch < 20; ++batch) {
    const std::vector<Permit> permits = AdmitEach(admission, 8);
    clock_.Advance(absl::Milliseconds(800));
  }
  const std::vector<Permit> permits = AdmitEach(admission, 8);

  const absl::Duration retry_after = RetryAfter(admission, 4);

  EXPECT_GE(retry_after, absl::Milliseconds(399));
  EXPECT_LE(retry_after, absl::Milliseconds(401));
}

TEST_F(AdmissionTest, FollowsARateThatChanges) {
  Admission admission(1, clock_, metrics_);
  for (int i = 0; i < 10; ++i) {
    const std::vector<Permit> permits = AdmitEach(admission, 1);
    clock_.Advance(absl::Seconds(4));
  }
  for (int i = 0; i < 200; ++i) {
    const std::vector<Permit> permits = AdmitEach(admission, 1);
    clock_.Advance(absl::Milliseconds(100));
  }
  const std::vector<Permit> permits = AdmitEach(admission, 1);

  const absl::Duration retry_after = RetryAfter(admission);

  EXPECT_GE(retry_after, absl::Milliseconds(100));
  EXPECT_LE(retry_after, absl::Milliseconds(102));
}

TEST_F(AdmissionTest, DoesNotTakeAnIdleHourForASlowOne) {
  Admission admission(1, clock_, metrics_);
  {
    const std::vector<Permit> permits = AdmitEach(admission, 1);
    clock_.Advance(absl::Milliseconds(50));
  }
  clock_.Advance(absl::Hours(1));
  const std::vector<Permit> permits = AdmitEach(admission, 1);

  EXPECT_EQ(RetryAfter(admission), absl::Milliseconds(50));
}

TEST_F(AdmissionTest, HintsLongerWhileNothingComesBack) {
  Admission admission(1, clock_, metrics_);
  {
    const std::vector<Permit> permits = AdmitEach(admission, 1);
    clock_.Advance(absl::Milliseconds(50));
  }
  const std::vector<Permit> permits = AdmitEach(admission, 1);
  clock_.Advance(absl::Seconds(3));

  EXPECT_EQ(RetryAfter(admission), absl::Milliseconds(3050));
}

TEST_F(AdmissionTest, KeepsTheHintBetweenTenMillisecondsAndTenSeconds) {
  Admission admission(2, clock_, metrics_);
  std::vector<Permit> permits = AdmitEach(admission, 2);
  permits.pop_back();
  permits.push_back(*admission.Admit(1));
  EXPECT_EQ(RetryAfter(admission), absl::Milliseconds(10)) << "given back in no time at all";

  clock_.Advance(absl::Hours(2));

  EXPECT_EQ(RetryAfter(admission), absl::Seconds(10));
}

TEST_F(AdmissionTest, LeaksNoPermitUnderManyThreads) {
  constexpr int kThreads = 16;
  constexpr int kCalls = 200;
  Admission admission(5, clock_, metrics_);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&admission, t] {
      for (int i = 0; i < kCalls; ++i) {
        absl::StatusOr<Permit> permit = admission.Admit(1 + (t + i) % 3);
        EXPECT_TRUE(permit.ok() || absl::IsResourceExhausted(permit.status())) << permit.status();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(Inflight(), 0);
  EXPECT_TRUE(admission.Admit(5).ok());
}

}  // namespace
}  // namespace tome
