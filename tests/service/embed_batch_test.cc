#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/base/status.h"
#include "tests/service/embedding_service_fixture.h"

// Several images in one call.

namespace tome {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class EmbedBatchTest : public EmbeddingServiceTest {
 protected:
  EmbedBatchCall::Item Item(std::optional<MergeSchedule> schedule = std::nullopt) const {
    return {.input = ModelPixelsInput{{.height = 8, .width = 8, .pixels = pixels_}},
            .schedule = std::move(schedule)};
  }

  // A valid call of so many images.
  EmbedBatchCall BatchCall(int images) const {
    EmbedBatchCall call;
    for (int i = 0; i < images; ++i) call.items.push_back(Item());
    return call;
  }

  Outcome<EmbedBatchAnswer> EmbedBatch(EmbedBatchCall call) {
    Outcome<EmbedBatchAnswer> outcome;
    service_.EmbedBatch(std::move(call), outcome.Callback());
    return outcome;
  }
};

TEST_F(EmbedBatchTest, AnswersEachImageInOrderWithItsOwnScheduleOrTheBatchsOrTheModels) {
  ServeSmall(MergeSchedule::Constant{.r = 1});
  StartCompute();
  EmbedBatchCall call = BatchCall(0);
  call.schedule = MergeSchedule::Constant{.r = 2};
  call.items = {Item(MergeSchedule::Constant{.r = 4}), Item(), Item(MergeSchedule())};

  const absl::StatusOr<EmbedBatchAnswer> mixed = EmbedBatch(call).Await();
  const absl::StatusOr<EmbedBatchAnswer> by_default = EmbedBatch(BatchCall(1)).Await();

  ASSERT_TRUE(mixed.ok()) << mixed.status();
  EXPECT_EQ(mixed->model, kModel);
  EXPECT_EQ(mixed->weights_digest, engine_.facts().weights_digest);
  ASSERT_THAT(mixed->results, SizeIs(3));
  for (int i = 0; i < 3; ++i) {
    const std::vector<int> merges(3, std::vector<int>{4, 2, 0}[i]);
    ASSERT_TRUE(mixed->results[i].ok()) << mixed->results[i].status();
    EXPECT_EQ(mixed->results[i]->merged_per_block, merges);
    EXPECT_EQ(mixed->results[i]->vector.data,
              EncodeVector(engine_.EmbeddingOf(pixels_, merges), {}).data);
  }
  EXPECT_THAT(by_default->results[0]->merged_per_block, ElementsAre(1, 1, 1));
  EXPECT_EQ(Images("OK"), 4);
}

TEST_F(EmbedBatchTest, ABadImageFailsAloneAndNamesItsItem) {
  ServeSmall();
  StartCompute();
  EmbedBatchCall call = BatchCall(4);
  call.items[0] = InvalidField("input", "missing");
  call.items[1]->input = EncodedInput{};
  call.items[3]->schedule = MergeSchedule::PerBlock{.r = {1, 1, 1, 1}};

  const absl::StatusOr<EmbedBatchAnswer> answer = EmbedBatch(call).Await();

  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_THAT(answer->results, SizeIs(4));
  EXPECT_EQ(FieldOf(answer->results[0].status()), "items[0].input");
  EXPECT_EQ(FieldOf(answer->results[1].status()), "items[1].input.encoded");
  EXPECT_TRUE(answer->results[2].ok()) << answer->results[2].status();
  EXPECT_EQ(FieldOf(answer->results[3].status()), "items[3].merge.per_block");
  EXPECT_EQ(Images("OK"), 1);
  EXPECT_EQ(Images("INVALID_ARGUMENT"), 3);
}

TEST_F(EmbedBatchTest, AnswersABatchWithoutAGoodImage) {
  ServeSmall();
  EmbedBatchCall call = BatchCall(2);
  for (auto& item : call.items) item = InvalidField("input", "missing");

  const absl::StatusOr<EmbedBatchAnswer> answer = EmbedBatch(call).Await();

  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_THAT(answer->results, SizeIs(2));
}

TEST_F(EmbedBatchTest, IsAdmittedWholeOrNotAtAll) {
  ServeSmall();
  const auto one = Embed(Call());

  const absl::Status too_many = EmbedBatch(BatchCall(kMaxImages)).Await().status();
  const auto rest = EmbedBatch(BatchCall(kMaxImages - 1));

  EXPECT_EQ(too_many.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GT(RetryAfterOf(too_many).value_or(absl::ZeroDuration()), absl::ZeroDuration());
  EXPECT_EQ(Images("RESOURCE_EXHAUSTED"), kMaxImages) << "each image counts";
  EXPECT_EQ(Metric("inflight_images"), kMaxImages);
  StartCompute();
  EXPECT_TRUE(one.Await().ok());
  EXPECT_TRUE(rest.Await().ok()) << rest.Await().status();
}

TEST_F(EmbedBatchTest, RefusesMoreThanCouldEverBeAdmittedAndNone) {
  ServeSmall();

  const absl::Status large = EmbedBatch(BatchCall(kMaxImages + 1)).Await().status();
  const absl::Status empty = EmbedBatch(BatchCall(0)).Await().status();

  EXPECT_EQ(large.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(large), "items");
  EXPECT_THAT(std::string(large.message()),
              HasSubstr("5 images, a call to this model takes 1 to 4"));
  EXPECT_EQ(empty.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(empty), "items");
  EXPECT_EQ(Metric("inflight_images"), 0);
}

TEST_F(EmbedBatchTest, TakesNoMoreImagesThanFitAnAnswer) {
  ModelFacts facts = FakeEngine::SmallModel();
  facts.embedding_dim = 500'000;

  const ServedModel wide = {.name = "wide",
                            .facts = &facts,
                            .admission = &admission_,
                            .batcher = nullptr,
                            .default_schedule = {}};

  EXPECT_EQ(service_.ImagesPerCall(wide), 2) << "of 2 MB each";
}

TEST_F(EmbedBatchTest, WhatItsImagesShareIsTheCallsError) {
  ServeSmall();
  EmbedBatchCall other_model = BatchCall(1);
  other_model.model = "large";
  EmbedBatchCall other_weights = BatchCall(2);
  other_weights.if_weights_digest = "feedface";
  EmbedBatchCall wide = BatchCall(1);
  wide.output.dimensions = 9;
  EmbedBatchCall deep = BatchCall(1);
  deep.schedule = MergeSchedule::PerBlock{.r = {1, 1, 1, 1}};
  EmbedBatchCall late = BatchCall(3);
  late.deadline = clock_.Now();

  EXPECT_EQ(EmbedBatch(other_model).Await().status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(EmbedBatch(other_weights).Await().status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(FieldOf(EmbedBatch(wide).Await().status()), "output.dimensions");
  EXPECT_EQ(FieldOf(EmbedBatch(deep).Await().status()), "merge.per_block");
  EXPECT_EQ(EmbedBatch(late).Await().status().code(), absl::StatusCode::kDeadlineExceeded);

  EXPECT_EQ(Images("FAILED_PRECONDITION"), 2);
  EXPECT_EQ(Images("DEADLINE_EXCEEDED"), 3);
  EXPECT_EQ(Dropped("expired"), 3);
}

TEST_F(EmbedBatchTest, ImagesThatAreTooLateFailAloneAndCostNoCompute) {
  ServeSmall();
  EmbedBatchCall call = BatchCall(2);
  call.deadline = clock_.Now() + absl::Milliseconds(5);
  Gate gate;
  OccupyDecodePool(gate);
  const auto outcome = EmbedBatch(call);

  clock_.Advance(absl::Milliseconds(5));
  gate.Open();

  const absl::StatusOr<EmbedBatchAnswer> answer = outcome.Await();
  ASSERT_TRUE(answer.ok()) << answer.status();
  for (const auto& result : answer->results) {
    EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
  }
  EXPECT_THAT(engine_.batches(), IsEmpty());
}

TEST_F(EmbedBatchTest, FinishesABatchUnderWayWhileItDrains) {
  ServeSmall();
  const auto under_way = EmbedBatch(BatchCall(2));

  service_.Drain();
  const absl::Status refused = EmbedBatch(BatchCall(2)).Await().status();
  StartCompute();

  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  const absl::StatusOr<EmbedBatchAnswer> answer = under_way.Await();
  ASSERT_TRUE(answer.ok()) << answer.status();
  for (const auto& result : answer->results) EXPECT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(service_.WaitUntilIdle(absl::InfiniteFuture()));
}

}  // namespace
}  // namespace tome
