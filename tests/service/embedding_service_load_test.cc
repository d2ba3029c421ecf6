#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/base/status.h"
#include "tests/service/embedding_service_fixture.h"
#include "tests/testing/tiny_png.h"

// Deadlines, cancellation, overload and drain.

namespace tome {
namespace {

using ::testing::ElementsAre;

using EmbeddingServiceLoadTest = EmbeddingServiceTest;

TEST_F(EmbeddingServiceLoadTest, RefusesACallThatArrivesExpired) {
  ServeSmall();
  EmbedCall call = Call();
  call.deadline = clock_.Now();

  EXPECT_EQ(Refusal(call).code(), absl::StatusCode::kDeadlineExceeded);

  EXPECT_EQ(Dropped("expired"), 1);
  EXPECT_EQ(Images("DEADLINE_EXCEEDED"), 1);
}

TEST_F(EmbeddingServiceLoadTest, GivesACallWithoutADeadlineTheDefaultTimeout) {
  ServeSmall();
  Gate gate;
  OccupyDecodePool(gate);
  const auto forgotten = Embed(Call());
  EmbedCall patient = Call();
  patient.deadline = clock_.Now() + kDefaultTimeout + absl::Seconds(1);
  const auto waiting = Embed(patient);

  clock_.Advance(kDefaultTimeout);
  gate.Open();
  StartCompute();

  EXPECT_EQ(forgotten.Await().status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(waiting.Await().ok()) << waiting.Await().status();
}

TEST_F(EmbeddingServiceLoadTest, BringsALateDeadlineForwardToTheMaximumTimeout) {
  ServeSmall();
  StartCompute();
  Gate gate;
  OccupyDecodePool(gate);
  EmbedCall call = Call();
  call.deadline = clock_.Now() + absl::Hours(24);
  const auto outcome = Embed(call);

  clock_.Advance(kMaximumTimeout);
  gate.Open();

  EXPECT_EQ(outcome.Await().status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(EmbeddingServiceLoadTest, DropsAnImageBeforeItCostsADecode) {
  ServeSmall();
  StartCompute();
  Gate gate;
  OccupyDecodePool(gate);
  const std::vector<uint8_t> file = TinyPng();
  EmbedCall cancelled = Call();
  cancelled.input = EncodedInput{file};
  EmbedCall expired = cancelled;
  expired.cancellation = Cancellation();
  expired.deadline = clock_.Now() + absl::Milliseconds(5);
  const auto cancelled_outcome = Embed(cancelled);
  const auto expired_outcome = Embed(expired);

  cancelled.cancellation.Cancel();
  clock_.Advance(absl::Milliseconds(5));
  gate.Open();

  EXPECT_EQ(cancelled_outcome.Await().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(expired_outcome.Await().status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Observed("decode"), 0);
  EXPECT_EQ(Dropped("cancelled"), 1);
  EXPECT_EQ(Dropped("expired"), 1);
  EXPECT_EQ(Images("CANCELLED"), 1);
  EXPECT_EQ(Images("DEADLINE_EXCEEDED"), 1);
}

TEST_F(EmbeddingServiceLoadTest, DropsAnImageThatIsCancelledInTheQueue) {
  ServeSmall();
  Gate gate;
  engine_.OnRun([&gate] { gate.Await(); });
  StartCompute();
  const auto running = Embed(Call());
  engine_.AwaitBatches(1);
  EmbedCall call = Call();
  const auto queued = Embed(call);

  call.cancellation.Cancel();
  gate.Open();

  EXPECT_EQ(queued.Await().status().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(running.Await().ok()) << running.Await().status();
  EXPECT_EQ(Dropped("cancelled"), 1);
  EXPECT_THAT(engine_.batch_sizes(), ElementsAre(1));
}

TEST_F(EmbeddingServiceLoadTest, RefusesOverloadAtOnceWithoutADecode) {
  ServeSmall();
  Gate gate;
  OccupyDecodePool(gate);
  const std::vector<uint8_t> file = TinyPng();
  EmbedCall call = Call();
  call.input = EncodedInput{file};
  std::vector<Outcome<EmbedAnswer>> admitted;
  for (int i = 0; i < kMaxImages; ++i) admitted.push_back(Embed(call));

  const absl::Status status = Refusal(call);

  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GT(RetryAfterOf(status).value_or(absl::ZeroDuration()), absl::ZeroDuration());
  EXPECT_EQ(Dropped("full"), 1);
  EXPECT_EQ(Metric("inflight_images"), kMaxImages);
  gate.Open();
  StartCompute();
  for (const auto& outcome : admitted) EXPECT_TRUE(outcome.Await().ok());
  EXPECT_EQ(Observed("decode"), kMaxImages);
  EXPECT_EQ(Images("RESOURCE_EXHAUSTED"), 1);
  EXPECT_EQ(Images("OK"), kMaxImages);
}

TEST_F(EmbeddingServiceLoadTest, HasGivenThePermitBackWhenItAnswers) {
  ServeSmall();
  StartCompute();
  Outcome<double> inflight;
  service_.Embed(Call(),
                 [this, done = inflight.Callback()](const absl::StatusOr<EmbedAnswer>&) mutable {
                   done(Metric("inflight_images"));
                 });

  EXPECT_EQ(*inflight.Await(), 0);
}

TEST_F(EmbeddingServiceLoadTest, PassesTheEnginesFailureOn) {
  ServeSmall();
  engine_.FailWith(absl::InternalError("the embedding is not finite"));
  StartCompute();

  EXPECT_EQ(Embed(Call()).Await().status(), absl::InternalError("the embedding is not finite"));

  EXPECT_EQ(Images("INTERNAL"), 1);
  EXPECT_EQ(AllImages(), 1);
}

TEST_F(EmbeddingServiceLoadTest, FinishesCallsUnderWayWhileItDrains) {
  ServeSmall();
  Gate gate;
  engine_.OnRun([&gate] { gate.Await(); });
  StartCompute();
  const auto under_way = Embed(Call());
  engine_.AwaitBatches(1);

  service_.Drain();
  const absl::Status refused = Refusal(Call());
  EmbedCall to_another = Call();
  to_another.model = "large";
  const absl::Status unknown = Refusal(to_another);
  gate.Open();

  EXPECT_EQ(refused, absl::UnavailableError("draining: call another server"));
  EXPECT_EQ(unknown.code(), absl::StatusCode::kUnavailable) << "another server may hold it";
  EXPECT_TRUE(under_way.Await().ok()) << under_way.Await().status();
  EXPECT_TRUE(service_.WaitUntilIdle(absl::InfiniteFuture()));
  EXPECT_EQ(Images("UNAVAILABLE"), 1);
  EXPECT_EQ(AllImages(), 2);
}

TEST_F(EmbeddingServiceLoadTest, WaitsForCallsUnderWayNoLongerThanItsDeadline) {
  ServeSmall();
  Gate gate;
  engine_.OnRun([&gate] { gate.Await(); });
  StartCompute();
  const auto outcome = Embed(Call());
  engine_.AwaitBatches(1);
  service_.Drain();

  bool idle = true;
  std::thread waiter([&] { idle = service_.WaitUntilIdle(clock_.Now() + absl::Seconds(25)); });
  clock_.AwaitWaiters(1);
  clock_.Advance(absl::Seconds(25));
  waiter.join();

  EXPECT_FALSE(idle);
  gate.Open();
  EXPECT_TRUE(service_.WaitUntilIdle(absl::InfiniteFuture()));
  EXPECT_TRUE(outcome.IsAnswered());
}

TEST_F(EmbeddingServiceLoadTest, WaitsNoLongerThanTheLastCall) {
  ServeSmall();
  Gate gate;
  engine_.OnRun([&gate] { gate.Await(); });
  StartCompute();
  const auto outcome = Embed(Call());
  service_.Drain();

  bool idle = false;
  std::thread waiter([&] { idle = service_.WaitUntilIdle(absl::InfiniteFuture()); });
  clock_.AwaitWaiters(1);
  gate.Open();
  waiter.join();

  EXPECT_TRUE(idle);
  EXPECT_TRUE(outcome.IsAnswered());
}

// Outcome fails the test on a second answer, Await would hang without a first.
TEST_F(EmbeddingServiceLoadTest, AnswersEachCallOnceUnderManyThreadsAndRandomCancels) {
  constexpr int kThreads = 64;
  constexpr int kCalls = 20;
  ServeSmall();
  StartCompute();
  std::vector<std::vector<Outcome<EmbedAnswer>>> outcomes(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(t + 1);
      for (int i = 0; i < kCalls; ++i) {
        EmbedCall call = Call();
        call.schedule.emplace(MergeSchedule::Constant{.r = static_cast<int>(random() % 9)});
        if (random() % 10 == 0) call.deadline = clock_.Now();
        if (random() % 10 == 0) call.output.dimensions = 1000;
        Cancellation cancellation = call.cancellation;
        outcomes[t].push_back(Embed(std::move(call)));
        if (random() % 3 == 0) cancellation.Cancel();
        // Some threads wait for their answers, so that not all of the load is refused.
        if (t % 2 == 0) outcomes[t].back().Await().IgnoreError();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  std::map<absl::StatusCode, int> ends;
  for (const auto& of_thread : outcomes) {
    for (const auto& outcome : of_thread) ++ends[outcome.Await().status().code()];
  }
  EXPECT_TRUE(service_.WaitUntilIdle(absl::InfiniteFuture()));
  EXPECT_EQ(AllImages(), kThreads * kCalls);
  for (const auto& [code, calls] : ends) {
    EXPECT_EQ(Images(std::string(StatusCodeName(code))), calls) << StatusCodeName(code);
  }
  EXPECT_GT(ends[absl::StatusCode::kOk], 0);
  EXPECT_EQ(Dropped("full"), ends[absl::StatusCode::kResourceExhausted]);
  EXPECT_EQ(Dropped("expired"), ends[absl::StatusCode::kDeadlineExceeded]);
  EXPECT_EQ(Dropped("cancelled"), ends[absl::StatusCode::kCancelled]);
}

}  // namespace
}  // namespace tome
