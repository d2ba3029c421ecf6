#include "server/service/embedding_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/base/status.h"
#include "server/image/resize_crop.h"
#include "server/merge/flops.h"
#include "tests/service/embedding_service_fixture.h"
#include "tests/testing/tiny_png.h"

// What a call is answered when the server has time for it.

namespace tome {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(EmbeddingServiceTest, AnswersTheVectorAndWhatWasApplied) {
  ServeSmall();
  StartCompute();
  EmbedCall call = Call();
  call.schedule.emplace(MergeSchedule::Constant{.r = 3});
  call.output = {.element_type = ElementType::kFloat16, .dimensions = 5};

  const absl::StatusOr<EmbedAnswer> answer = Embed(call).Await();

  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->model, kModel);
  EXPECT_EQ(answer->weights_digest, engine_.facts().weights_digest);
  const std::vector<int> merges = {3, 3, 3};
  EXPECT_EQ(answer->vector.data,
            EncodeVector(engine_.EmbeddingOf(pixels_, merges), call.output).data);
  EXPECT_EQ(answer->vector.dimensions, 5);
  EXPECT_THAT(answer->merged_per_block, ElementsAre(3, 3, 3));
  EXPECT_EQ(answer->tokens_in, 17);
  EXPECT_EQ(answer->tokens_out, 8);
  const BlockShape shape = engine_.facts().block_shape;
  EXPECT_DOUBLE_EQ(answer->gflops, BlockFlops(shape, 17, merges) / 1e9);
  EXPECT_DOUBLE_EQ(answer->gflops_unmerged, BlockFlops(shape, 17, std::vector<int>(3)) / 1e9);
  EXPECT_LT(answer->gflops, answer->gflops_unmerged);
  EXPECT_EQ(answer->grid_height, 4);
  EXPECT_EQ(answer->grid_width, 4);
  EXPECT_FALSE(answer->merge_map.has_value());
  EXPECT_THAT(answer->tokens, IsEmpty());
  EXPECT_THAT(answer->model_pixels, IsEmpty());
}

TEST_F(EmbeddingServiceTest, TellsTheFidelityThatTheProfileExpectsOfAConstantR) {
  ModelFacts facts = engine_.facts();
  facts.profile = {.steps = {{.r = 0, .fidelity = 1.0}, {.r = 2, .fidelity = 0.96}},
                   .images = 10,
                   .date = "2026-01-02"};
  service_.Serve({{.name = kModel,
                   .facts = &facts,
                   .admission = &admission_,
                   .batcher = &batcher_,
                   .default_schedule = {}}});
  StartCompute();
  const auto expected_at = [&](const MergeSchedule& schedule, Pooling pooling, int dimensions = 0) {
    EmbedCall call = Call();
    call.schedule = schedule;
    call.output.pooling = pooling;
    call.output.dimensions = dimensions;
    return Embed(call).Await()->expected_fidelity;
  };

  EXPECT_EQ(expected_at(MergeSchedule::Constant{.r = 2}, Pooling::kModelsOwn), 0.96);
  EXPECT_EQ(expected_at(MergeSchedule::Constant{.r = 3}, Pooling::kModelsOwn), std::nullopt);
  EXPECT_EQ(expected_at(MergeSchedule::PerBlock{.r = {2}}, Pooling::kModelsOwn), std::nullopt);
  EXPECT_EQ(expected_at(MergeSchedule::Constant{.r = 2}, Pooling::kMean), std::nullopt);
  const int all = facts.EmbeddingDim(Pooling::kModelsOwn);
  EXPECT_EQ(expected_at(MergeSchedule::Constant{.r = 2}, Pooling::kModelsOwn, all), 0.96);
  EXPECT_EQ(expected_at(MergeSchedule::Constant{.r = 2}, Pooling::kModelsOwn, all - 1),
            std::nullopt);
  ServeSmall();  // nothing refers to `facts` any more
  EXPECT_EQ(expected_at(MergeSchedule::Constant{.r = 2}, Pooling::kModelsOwn), std::nullopt);
}

TEST_F(EmbeddingServiceTest, GivesThePixelsThatTheModelSawBackWhenAsked) {
  ServeSmall();
  StartCompute();
  EmbedCall call = Call();
  call.output.model_pixels = true;

  const absl::StatusOr<EmbedAnswer> answer = Embed(call).Await();

  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->model_pixels, pixels_);
  EXPECT_EQ(answer->model_height, engine_.facts().preprocessing.crop_height);
  EXPECT_EQ(answer->model_width, engine_.facts().preprocessing.crop_width);
}

TEST_F(EmbeddingServiceTest, PassesTokensAndMergeMapOnWhenAsked) {
  ServeSmall();
  StartCompute();
  EmbedCall call = Call();
  call.schedule.emplace(MergeSchedule::PerBlock{.r = {2}});
  call.output.tokens = true;
  call.output.merge_map = true;

  const absl::StatusOr<EmbedAnswer> answer = Embed(call).Await();

  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->tokens_out, 15);
  EXPECT_EQ(answer->token_dim, 4);
  EXPECT_EQ(answer->tokens.size(), 15u * 4u);
  ASSERT_TRUE(answer->merge_map.has_value());
  EXPECT_EQ(answer->merge_map->group_of_patch.size(), 16u);
  EXPECT_EQ(answer->merge_map->size.size(), 15u);
}

TEST_F(EmbeddingServiceTest, UsesTheModelsScheduleWhereACallNamesNone) {
  ServeSmall(MergeSchedule::Constant{.r = 2});
  StartCompute();
  EmbedCall exact = Call();
  exact.schedule.emplace();

  EXPECT_THAT(Embed(Call()).Await()->merged_per_block, ElementsAre(2, 2, 2));
  EXPECT_THAT(Embed(exact).Await()->merged_per_block, ElementsAre(0, 0, 0));
}

TEST_F(EmbeddingServiceTest, DecodesAFileOnTheWayToTheEngine) {
  ServeSmall();
  StartCompute();
  const std::vector<uint8_t> file = TinyPng();
  EmbedCall call = Call();
  call.input = EncodedInput{file};

  const absl::StatusOr<EmbedAnswer> answer = Embed(call).Await();

  ASSERT_TRUE(answer.ok()) << answer.status();
  const std::vector<uint8_t> decoded = TinyPngPixels();
  EXPECT_EQ(
      engine_.batches().at(0).at(0).pixels,
      ResizeAndCrop({.height = 2, .width = 3, .pixels = decoded}, engine_.facts().preprocessing));
  EXPECT_TRUE(answer->times.decode.has_value());
  EXPECT_TRUE(answer->times.preprocess.has_value());
}

TEST_F(EmbeddingServiceTest, RecordsEachStageThatAnImagePassed) {
  ServeSmall();
  engine_.OnRun([this] { clock_.Advance(absl::Milliseconds(40)); });
  StartCompute();
  const std::vector<uint8_t> file = TinyPng();
  EmbedCall of_file = Call();
  of_file.input = EncodedInput{file};
  EmbedCall of_rgb = Call();
  of_rgb.input = RgbInput{{.height = 8, .width = 8, .pixels = pixels_}};

  ASSERT_TRUE(Embed(of_file).Await().ok());
  ASSERT_TRUE(Embed(of_rgb).Await().ok());
  const absl::StatusOr<EmbedAnswer> of_model_pixels = Embed(Call()).Await();

  EXPECT_EQ(Observed("decode"), 1);
  EXPECT_EQ(Observed("preprocess"), 2);
  EXPECT_EQ(Observed("queue"), 3);
  EXPECT_EQ(Observed("compute"), 3);
  EXPECT_EQ(Observed("encode"), 3);
  ASSERT_TRUE(of_model_pixels.ok()) << of_model_pixels.status();
  EXPECT_EQ(of_model_pixels->times.compute, absl::Milliseconds(40));
  EXPECT_EQ(of_model_pixels->times.batch_images, 1);
  EXPECT_FALSE(of_model_pixels->times.decode.has_value());
  EXPECT_FALSE(of_model_pixels->times.preprocess.has_value());
  EXPECT_EQ(Images("OK"), 3);
}

TEST_F(EmbeddingServiceTest, IsUnavailableBeforeItServes) {
  EXPECT_EQ(Refusal(Call()).code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(Refusal(Call()).message()), HasSubstr("starting"));
  EXPECT_EQ(service_.ListModels().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(service_.GetModel(kModel).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(EmbeddingServiceTest, ListsWhatItServes) {
  ServeSmall();

  const auto models = service_.ListModels();

  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_EQ((*models)->size(), 1u);
  EXPECT_EQ((*models)->front().name, kModel);
  EXPECT_EQ((*models)->front().facts, &engine_.facts());
  EXPECT_EQ((*service_.GetModel(kModel))->name, kModel);
  EXPECT_EQ((*service_.GetModel(""))->name, kModel) << "the only one";
  EXPECT_EQ(service_.GetModel("other").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(EmbeddingServiceTest, NamesTheModelsThereAreToACallerOfAnother) {
  ServeSmall();
  EmbedCall call = Call();
  call.model = "large";

  const absl::Status status = Refusal(call);

  EXPECT_EQ(status, absl::NotFoundError("no model \"large\"; this server holds: small"));
  EXPECT_EQ(AllImages(), 0) << "an unknown model's images are no model's";
}

TEST_F(EmbeddingServiceTest, EchoesALongOrBinaryModelNameHarmlessly) {
  ServeSmall();
  EmbedCall call = Call();
  call.model = "\n\x80" + std::string(100'000, 'x');

  const absl::Status status = Refusal(call);

  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("\\n\\x80xxx"), HasSubstr("small")));
  EXPECT_LT(status.message().size(), 500u);
}

TEST_F(EmbeddingServiceTest, RunsEachModelsImagesOnItsOwnEngine) {
  ModelFacts facts = FakeEngine::SmallModel();
  facts.weights_digest = "fedcba9876543210";
  FakeEngine other_engine(facts);
  Batcher other_batcher("other", other_engine, clock_, metrics_, {});
  service_.Serve({{.name = kModel,
                   .facts = &engine_.facts(),
                   .admission = &admission_,
                   .batcher = &batcher_,
                   .default_schedule = {}},
                  {.name = "other",
                   .facts = &other_engine.facts(),
                   .admission = &admission_,
                   .batcher = &other_batcher,
                   .default_schedule = {}}});
  StartCompute();
  other_batcher.Start();
  EmbedCall call = Call();
  call.model = "other";

  const absl::StatusOr<EmbedAnswer> answer = Embed(call).Await();
  const absl::Status unnamed = Refusal(Call());

  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->model, "other");
  EXPECT_EQ(answer->weights_digest, "fedcba9876543210");
  EXPECT_THAT(engine_.batches(), IsEmpty());
  EXPECT_THAT(other_engine.batch_sizes(), ElementsAre(1));
  EXPECT_EQ(unnamed.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(unnamed.message()), HasSubstr("small, other"));
}

TEST_F(EmbeddingServiceTest, RefusesACallForOtherWeightsNamingBothDigests) {
  ServeSmall();
  EmbedCall call = Call();
  call.if_weights_digest = "feedface";

  const absl::Status status = Refusal(call);

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("feedface"), HasSubstr("0123456789abcdef")));
  EXPECT_EQ(Images("FAILED_PRECONDITION"), 1);
}

TEST_F(EmbeddingServiceTest, AnswersACallForTheseWeights) {
  ServeSmall();
  StartCompute();
  EmbedCall call = Call();
  call.if_weights_digest = engine_.facts().weights_digest;

  EXPECT_TRUE(Embed(call).Await().ok());
}

TEST_F(EmbeddingServiceTest, RefusesAScheduleOfMoreBlocksThanTheModelHas) {
  ServeSmall();
  EmbedCall call = Call();
  call.schedule.emplace(MergeSchedule::PerBlock{.r = {1, 1, 1, 1}});

  const absl::Status status = Refusal(call);

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(status), "merge.per_block");
  EXPECT_THAT(std::string(status.message()), HasSubstr("4 values, the model has 3 blocks"));
  EXPECT_EQ(Images("INVALID_ARGUMENT"), 1);
}

TEST_F(EmbeddingServiceTest, RefusesMoreDimensionsThanTheModelGives) {
  ServeSmall();
  StartCompute();
  EmbedCall call = Call();
  call.output.dimensions = 9;

  const absl::Status status = Refusal(call);

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(status), "output.dimensions");
  EXPECT_THAT(std::string(status.message()), HasSubstr("9 is outside [0, 8]"));
  call.output.dimensions = 8;
  EXPECT_TRUE(Embed(call).Await().ok());
}

TEST_F(EmbeddingServiceTest, PoolsAsTheCallerAsks) {
  ServeSmall();
  StartCompute();
  EmbedCall call = Call();
  call.output.pooling = Pooling::kMean;

  // A mean has the tokens' width, not the projection's.
  EXPECT_EQ(Embed(call).Await()->vector.dimensions, engine_.facts().block_shape.token_dim);
  call.output.dimensions = 5;
  EXPECT_THAT(std::string(Refusal(call).message()), HasSubstr("5 is outside [0, 4]"));
}

TEST_F(EmbeddingServiceTest, RefusesTheClassTokenOfAModelWithoutOne) {
  ModelFacts facts = FakeEngine::SmallModel();
  facts.class_token = false;
  service_.Serve({{.name = kModel, .facts = &facts, .batcher = &batcher_, .default_schedule = {}}});
  EmbedCall call = Call();
  call.output.pooling = Pooling::kClassToken;

  const absl::Status status = Refusal(call);

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(status), "output.pooling");
  EXPECT_THAT(std::string(status.message()), HasSubstr("this model has no class token"));
}

TEST_F(EmbeddingServiceTest, ABadImageFailsAloneWithItsField) {
  ServeSmall();
  StartCompute();
  EmbedCall call = Call();
  call.input = ModelPixelsInput{{.height = 4, .width = 4, .pixels = pixels_}};

  const absl::Status status = Embed(call).Await().status();

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(status), "input.model_pixels");
  EXPECT_EQ(Images("INVALID_ARGUMENT"), 1);
  EXPECT_EQ(Metric("inflight_images"), 0);
  EXPECT_TRUE(Embed(Call()).Await().ok());
}

TEST_F(EmbeddingServiceTest, NewImagesGoToNewModelsAndTheOldOnesAreAwaited) {
  ServeSmall();
  const auto before = Embed(Call());
  ModelFacts facts = FakeEngine::SmallModel();
  facts.weights_digest = "fedcba9876543210";
  FakeEngine new_engine(facts);
  Batcher new_batcher(kModel, new_engine, clock_, metrics_, {});
  new_batcher.Start();
  service_.Serve({{.name = kModel,
                   .facts = &new_engine.facts(),
                   .admission = &admission_,
                   .batcher = &new_batcher,
                   .default_schedule = {}}});
  const auto after = Embed(Call());
  EXPECT_EQ(after.Await()->weights_digest, "fedcba9876543210");
  EXPECT_FALSE(before.IsAnswered());

  StartCompute();
  service_.AwaitReplaced();

  EXPECT_TRUE(before.IsAnswered());
  EXPECT_EQ(before.Await()->weights_digest, "0123456789abcdef");
  ServeSmall();
  service_.AwaitReplaced();
}

}  // namespace
}  // namespace tome
