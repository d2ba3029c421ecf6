#include "server/rpc/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "server/base/status.h"

namespace tome {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// A request that is right as it is.
v1::EmbedRequest Request() {
  v1::EmbedRequest request;
  request.mutable_input()->set_encoded("jpeg");
  return request;
}

void ExpectInvalid(const absl::Status& status, const std::string& field,
                   const std::string& message) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(FieldOf(status).value_or("none"), field);
  EXPECT_THAT(std::string(status.message()), HasSubstr(message));
}

TEST(ToEmbedCallTest, KeepsNamesAndPointsIntoTheRequest) {
  v1::EmbedRequest request = Request();
  request.set_model("vit");
  request.set_if_weights_digest("ab12");

  const absl::StatusOr<EmbedCall> call = ToEmbedCall(request);

  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_EQ(call->model, "vit");
  EXPECT_EQ(call->if_weights_digest, "ab12");
  EXPECT_EQ(call->deadline, absl::InfiniteFuture());
  const auto& encoded = std::get<EncodedInput>(call->input);
  EXPECT_EQ(reinterpret_cast<const char*>(encoded.bytes.data()), request.input().encoded().data());
  EXPECT_THAT(encoded.bytes, SizeIs(4));
}

TEST(ToEmbedCallTest, TakesRawPixelsOfAnySizeAndOfTheModels) {
  v1::EmbedRequest request;
  request.mutable_input()->mutable_rgb()->set_height(2);
  request.mutable_input()->mutable_rgb()->set_width(3);
  request.mutable_input()->mutable_rgb()->set_data(std::string(18, 'x'));
  const absl::StatusOr<EmbedCall> rgb = ToEmbedCall(request);
  v1::RawImage image = request.input().rgb();
  *request.mutable_input()->mutable_model_pixels() = image;
  const absl::StatusOr<EmbedCall> model_pixels = ToEmbedCall(request);

  ASSERT_TRUE(rgb.ok()) << rgb.status();
  const RgbView view = std::get<RgbInput>(rgb->input).view;
  EXPECT_EQ(view.height, 2);
  EXPECT_EQ(view.width, 3);
  EXPECT_THAT(view.pixels, SizeIs(18));
  ASSERT_TRUE(model_pixels.ok()) << model_pixels.status();
  EXPECT_THAT(std::get<ModelPixelsInput>(model_pixels->input).view.pixels, SizeIs(18));
}

TEST(ToEmbedCallTest, RefusesAMissingInput) {
  ExpectInvalid(ToEmbedCall(v1::EmbedRequest()).status(), "input", "input: missing");

  v1::EmbedRequest empty;
  empty.mutable_input();
  ExpectInvalid(ToEmbedCall(empty).status(), "input", "input: missing");
}

TEST(ToEmbedCallTest, RefusesRawPixelsOfASideThatNoIntHolds) {
  v1::EmbedRequest request;
  request.mutable_input()->mutable_rgb()->set_height(1);
  request.mutable_input()->mutable_rgb()->set_width(2147483648u);

  ExpectInvalid(ToEmbedCall(request).status(), "input.rgb", "1 x 2147483648 pixels");
}

TEST(ToMergeScheduleTest, LeavesAnAbsentSpecToTheModelsDefault) {
  const absl::StatusOr<EmbedCall> call = ToEmbedCall(Request());

  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_FALSE(call->schedule.has_value());
}

TEST(ToMergeScheduleTest, RefusesAnEmptySpec) {
  v1::EmbedRequest request = Request();
  request.mutable_merge();

  ExpectInvalid(ToEmbedCall(request).status(), "merge", "merge: empty");
}

std::vector<int> Merges(const v1::EmbedRequest& request, int blocks) {
  const absl::StatusOr<EmbedCall> call = ToEmbedCall(request);
  EXPECT_TRUE(call.ok()) << call.status();
  if (!call.ok() || !call->schedule.has_value()) return {};
  return call->schedule->PerBlockMerges(blocks);
}

TEST(ToMergeScheduleTest, TakesEachKindOfSchedule) {
  v1::EmbedRequest constant = Request();
  constant.mutable_merge()->set_constant(0);
  v1::EmbedRequest linear = Request();
  linear.mutable_merge()->mutable_linear()->set_mean_r(16);
  linear.mutable_merge()->mutable_linear()->set_inflection(-1.0);
  v1::EmbedRequest per_block = Request();
  per_block.mutable_merge()->mutable_per_block()->add_r(4);
  per_block.mutable_merge()->mutable_per_block()->add_r(2);

  EXPECT_THAT(Merges(constant, 3), ElementsAre(0, 0, 0));
  EXPECT_THAT(Merges(linear, 3), ElementsAre(32, 16, 0));
  EXPECT_THAT(Merges(per_block, 3), ElementsAre(4, 2, 0));
}

TEST(ToMergeScheduleTest, RefusesAnROverTheLimit) {
  v1::EmbedRequest constant = Request();
  constant.mutable_merge()->set_constant(MergeSchedule::kMaxR + 1);
  v1::EmbedRequest linear = Request();
  linear.mutable_merge()->mutable_linear()->set_mean_r(4000000000u);
  v1::EmbedRequest per_block = Request();
  per_block.mutable_merge()->mutable_per_block()->add_r(MergeSchedule::kMaxR);
  per_block.mutable_merge()->mutable_per_block()->add_r(4294967295u);

  ExpectInvalid(ToEmbedCall(constant).status(), "merge.constant",
                "merge.constant: 1048577 is more than 1048576");
  ExpectInvalid(ToEmbedCall(linear).status(), "merge.linear.mean_r", "4000000000");
  ExpectInvalid(ToEmbedCall(per_block).status(), "merge.per_block.r[1]", "4294967295");
}

TEST(ToMergeScheduleTest, RefusesAnInflectionOutsideItsRange) {
  v1::EmbedRequest request = Request();
  v1::MergeSpec::Linear* linear = request.mutable_merge()->mutable_linear();

  linear->set_inflection(1.5);
  ExpectInvalid(ToEmbedCall(request).status(), "merge.linear.inflection",
                "merge.linear.inflection: 1.5 is outside [-1, 1]");
  linear->set_inflection(std::numeric_limits<double>::quiet_NaN());
  ExpectInvalid(ToEmbedCall(request).status(), "merge.linear.inflection", "nan is outside [-1, 1]");
}

TEST(ToMergeScheduleTest, NeverTakesAutoForTheDefault) {
  v1::EmbedRequest request = Request();
  request.mutable_merge()->mutable_auto_()->set_maximum_r(8);

  const absl::Status status = ToEmbedCall(request).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("merge.auto"));
}

TEST(ToOutputSpecTest, UnspecifiedIsNormalizedFloat32) {
  const absl::StatusOr<OutputSpec> output = ToOutputSpec(v1::OutputSpec());

  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->element_type, ElementType::kFloat32);
  EXPECT_EQ(output->normalization, Normalization::kL2);
  EXPECT_EQ(output->dimensions, 0);
  EXPECT_FALSE(output->merge_map);
  EXPECT_FALSE(output->tokens);
  EXPECT_FALSE(output->model_pixels);
}

TEST(ToOutputSpecTest, KeepsEveryWish) {
  v1::OutputSpec spec;
  spec.set_element_type(v1::ELEMENT_TYPE_INT8);
  spec.set_normalization(v1::NORMALIZATION_NONE);
  spec.set_dimensions(64);
  spec.set_merge_map(true);
  spec.set_tokens(true);
  spec.set_model_pixels(true);

  const absl::StatusOr<OutputSpec> output = ToOutputSpec(spec);

  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->element_type, ElementType::kInt8);
  EXPECT_EQ(output->normalization, Normalization::kNone);
  EXPECT_EQ(output->dimensions, 64);
  EXPECT_TRUE(output->merge_map);
  EXPECT_TRUE(output->tokens);
  EXPECT_TRUE(output->model_pixels);
}

TEST(ToOutputSpecTest, RefusesWhatItDoesNotKnow) {
  v1::OutputSpec type;
  type.set_element_type(static_cast<v1::ElementType>(9));
  v1::OutputSpec normalization;
  normalization.set_normalization(static_cast<v1::Normalization>(9));
  v1::OutputSpec pooling;
  pooling.set_pooling(static_cast<v1::Pooling>(9));
  v1::OutputSpec dimensions;
  dimensions.set_dimensions(4294967295u);

  ExpectInvalid(ToOutputSpec(type).status(), "output.element_type", "9");
  ExpectInvalid(ToOutputSpec(normalization).status(), "output.normalization", "9");
  ExpectInvalid(ToOutputSpec(pooling).status(), "output.pooling", "9");
  ExpectInvalid(ToOutputSpec(dimensions).status(), "output.dimensions", "4294967295");
}

TEST(ToOutputSpecTest, TakesTheModelsOwnPoolingOrAnother) {
  v1::OutputSpec spec;
  EXPECT_EQ(ToOutputSpec(spec)->pooling, Pooling::kModelsOwn);

  spec.set_pooling(v1::POOLING_CLASS_TOKEN);
  EXPECT_EQ(ToOutputSpec(spec)->pooling, Pooling::kClassToken);

  spec.set_pooling(v1::POOLING_MEAN);
  EXPECT_EQ(ToOutputSpec(spec)->pooling, Pooling::kMean);
}

EmbedAnswer Answer() {
  return {.model = "vit",
          .weights_digest = "ab12",
          .vector = {.type = ElementType::kInt8, .dimensions = 2, .data = "xy", .scale = 0.5f},
          .merged_per_block = {4, 2},
          .tokens_in = 17,
          .tokens_out = 11,
          .gflops = 1.5,
          .gflops_unmerged = 2.5,
          .times = {.decode = absl::Milliseconds(1500),
                    .preprocess = std::nullopt,
                    .queue = absl::Microseconds(3),
                    .compute = absl::Seconds(2),
                    .batch_images = 8},
          .grid_height = 4,
          .grid_width = 4,
          .merge_map = std::nullopt,
          .tokens = {},
          .token_dim = 2};
}

TEST(FillResponseTest, CarriesTheVectorAndWhatWasDone) {
  v1::EmbedResponse response;

  FillResponse(Answer(), "id", &response);

  EXPECT_EQ(response.model().name(), "vit");
  EXPECT_EQ(response.model().weights_digest(), "ab12");
  const v1::Embedding& embedding = response.embedding();
  EXPECT_EQ(embedding.vector().type(), v1::ELEMENT_TYPE_INT8);
  EXPECT_EQ(embedding.vector().dimensions(), 2u);
  EXPECT_EQ(embedding.vector().data(), "xy");
  EXPECT_EQ(embedding.vector().scale(), 0.5f);
  EXPECT_THAT(embedding.applied().merged_per_block(), ElementsAre(4, 2));
  EXPECT_EQ(embedding.applied().tokens_in(), 17u);
  EXPECT_EQ(embedding.applied().tokens_out(), 11u);
  EXPECT_EQ(embedding.applied().gflops(), 1.5);
  EXPECT_EQ(embedding.applied().gflops_unmerged(), 2.5);
  EXPECT_FALSE(embedding.applied().has_expected_fidelity());
  EXPECT_EQ(embedding.timing().decode().seconds(), 1);
  EXPECT_EQ(embedding.timing().decode().nanos(), 500'000'000);
  EXPECT_FALSE(embedding.timing().has_preprocess());
  EXPECT_EQ(embedding.timing().queue().nanos(), 3'000);
  EXPECT_EQ(embedding.timing().batch_images(), 8u);
  EXPECT_FALSE(embedding.has_merge_map());
  EXPECT_FALSE(embedding.has_tokens());
  EXPECT_FALSE(embedding.has_model_pixels());
}

TEST(FillResponseTest, CarriesTheExpectedFidelityWhereItIsKnown) {
  EmbedAnswer answer = Answer();
  answer.expected_fidelity = 0.97;
  v1::EmbedResponse response;

  FillResponse(std::move(answer), "id", &response);

  EXPECT_EQ(response.embedding().applied().expected_fidelity(), 0.97);
}

TEST(FillResponseTest, CarriesThePixelsThatTheModelSawWhereTheyAreAskedFor) {
  EmbedAnswer answer = Answer();
  answer.model_pixels = {1, 2, 3, 4, 5, 6};
  answer.model_height = 1;
  answer.model_width = 2;
  v1::EmbedResponse response;

  FillResponse(std::move(answer), "id", &response);

  const v1::RawImage& pixels = response.embedding().model_pixels();
  EXPECT_EQ(pixels.height(), 1u);
  EXPECT_EQ(pixels.width(), 2u);
  EXPECT_EQ(pixels.data(), "\x01\x02\x03\x04\x05\x06");
}

TEST(FillResponseTest, CarriesMapAndTokensWhereThereAreAny) {
  EmbedAnswer answer = Answer();
  answer.merge_map = MergeMap{.group_of_patch = {1, 1, 2}, .size = {1.0f, 2.0f, 1.0f}};
  answer.tokens_out = 3;
  answer.tokens = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f};
  v1::EmbedResponse response;

  FillResponse(std::move(answer), "id", &response);

  const v1::MergeMap& map = response.embedding().merge_map();
  EXPECT_EQ(map.grid_height(), 4u);
  EXPECT_EQ(map.grid_width(), 4u);
  EXPECT_THAT(map.group_of_patch(), ElementsAre(1, 1, 2));
  EXPECT_THAT(map.size(), ElementsAre(1.0f, 2.0f, 1.0f));
  const v1::Tokens& tokens = response.embedding().tokens();
  EXPECT_EQ(tokens.count(), 3u);
  EXPECT_EQ(tokens.dimensions(), 2u);
  ASSERT_THAT(tokens.data(), SizeIs(24));
  // 6.0f, little-endian.
  EXPECT_EQ(tokens.data().substr(20), std::string("\x00\x00\xc0\x40", 4));
}

TEST(FillModelTest, TellsTheFactsThatAClientPlansWith) {
  ModelFacts facts;
  facts.architecture = "vit_tiny";
  facts.family = "vit";
  facts.dtype = "float32";
  facts.device = "cpu";
  facts.weights_digest = "ab12";
  facts.preprocessing.crop_height = 64;
  facts.preprocessing.crop_width = 48;
  facts.patch_size = 16;
  facts.grid_height = 4;
  facts.grid_width = 3;
  facts.prefix_tokens = 1;
  facts.blocks = 2;
  facts.block_shape = {.token_dim = 8, .mlp_hidden_dim = 32};
  facts.embedding_dim = 8;
  const ServedModel model{.name = "tiny",
                          .facts = &facts,
                          .admission = nullptr,
                          .batcher = nullptr,
                          .default_schedule = MergeSchedule::Constant{.r = 3}};
  v1::Model out;

  FillModel(model, &out);

  EXPECT_EQ(out.name(), "tiny");
  EXPECT_EQ(out.architecture(), "vit_tiny");
  EXPECT_EQ(out.input_height(), 64u);
  EXPECT_EQ(out.input_width(), 48u);
  EXPECT_EQ(out.tokens(), 13u);
  EXPECT_EQ(out.maximum_r(), 6u);
  EXPECT_EQ(out.default_merge().constant(), 3u);
  EXPECT_TRUE(out.proportional_attention());
  // 13 tokens a block: 2 * (4*64*13 + 2*169*8 + 2*8*32*13) of two blocks.
  EXPECT_DOUBLE_EQ(out.gflops_unmerged(), 2 * 2 * (3328 + 2704 + 6656) / 1e9);
}

TEST(FillModelTest, TellsWhatMergingCostsWhereItWasMeasured) {
  ModelFacts facts;
  facts.blocks = 1;
  facts.profile = {
      .steps =
          {{.r = 0},
           {.r = 8, .fidelity = 0.98, .fidelity_p5 = 0.95, .recall_at_10 = 0.9, .flop_ratio = 1.4}},
      .images = 40,
      .date = "2026-01-02"};
  const ServedModel model{.name = "tiny",
                          .facts = &facts,
                          .admission = nullptr,
                          .batcher = nullptr,
                          .default_schedule = {}};
  v1::Model out;

  FillModel(model, &out);

  EXPECT_EQ(out.profile().images(), 40u);
  EXPECT_EQ(out.profile().date(), "2026-01-02");
  ASSERT_EQ(out.profile().steps_size(), 2);
  EXPECT_EQ(out.profile().steps(0).fidelity(), 1.0);
  const v1::MergeProfile::Step& step = out.profile().steps(1);
  EXPECT_EQ(step.r(), 8u);
  EXPECT_EQ(step.fidelity(), 0.98);
  EXPECT_EQ(step.fidelity_p5(), 0.95);
  EXPECT_EQ(step.recall_at_10(), 0.9);
  EXPECT_EQ(step.flop_ratio(), 1.4);
}

TEST(FillLimitsTest, TellsWhatACallMayBring) {
  v1::Limits limits;

  FillLimits({.image_limits = {.max_bytes = 1, .max_pixels = 2, .max_side = 3, .max_scans = 4},
              .default_timeout = absl::Seconds(5),
              .maximum_timeout = absl::Seconds(6)},
             /*images_per_call=*/8, /*max_message_bytes=*/7, &limits);

  EXPECT_EQ(limits.encoded_bytes(), 1u);
  EXPECT_EQ(limits.pixels(), 2u);
  EXPECT_EQ(limits.side_pixels(), 3u);
  EXPECT_EQ(limits.images_per_call(), 8u);
  EXPECT_EQ(limits.message_bytes(), 7u);
  EXPECT_EQ(limits.default_timeout().seconds(), 5);
  EXPECT_EQ(limits.maximum_timeout().seconds(), 6);
}

}  // namespace
}  // namespace tome
