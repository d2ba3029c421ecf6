#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "tests/cuda/test_model.h"
#include "tests/cuda/test_table.h"

namespace tome::cuda {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

class SessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (*WhyNoDevice() != 0) GTEST_SKIP() << WhyNoDevice();
  }

  static Options MakeOptions(ElementType type = ElementType::kFloat32) {
    return {.type = type, .max_images = 4, .max_concurrent_runs = 2, .max_graphs = 2};
  }
};

class TypedSessionTest : public SessionTest, public ::testing::WithParamInterface<ElementType> {};

const TestImage kExact = {.seed = 1};
const TestImage kMerged = {.seed = 2, .merges_per_block = {5, 4, 3}};
const TestImage kMost = {.seed = 3, .merges_per_block = {100, 100, 100}};

TEST_P(TypedSessionTest, GivesAnImageTheSameBitsWhateverItsBatchMates) {
  const TestSession session(TestModel(), MakeOptions(GetParam()));
  ASSERT_EQ(session.code(), Code::kOk) << session.message();

  const TestResults exact = session.Run({kExact});
  const TestResults merged = session.Run({kMerged});
  const TestResults most = session.Run({kMost});
  const TestResults mixed = session.Run({kMost, kMerged, kExact, kMerged});

  ASSERT_EQ(mixed.code, Code::kOk) << mixed.message;
  EXPECT_EQ(mixed.embeddings[0], most.embeddings[0]);
  EXPECT_EQ(mixed.embeddings[1], merged.embeddings[0]);
  EXPECT_EQ(mixed.embeddings[2], exact.embeddings[0]);
  EXPECT_EQ(mixed.embeddings[3], merged.embeddings[0]);
  EXPECT_NE(mixed.embeddings[1], mixed.embeddings[2]);
}

TEST_P(TypedSessionTest, GivesTheSameBitsWhetherOrNotABatchMateWantsTokensOrAMap) {
  const TestSession session(TestModel(), MakeOptions(GetParam()));
  ASSERT_EQ(session.code(), Code::kOk) << session.message();

  const TestResults pooled_rows_only = session.Run({kMerged, kExact});
  const TestResults all_rows = session.Run({kMerged, kExact}, {.tokens = true, .merge_map = true});

  ASSERT_EQ(all_rows.code, Code::kOk) << all_rows.message;
  EXPECT_EQ(all_rows.embeddings, pooled_rows_only.embeddings);
  EXPECT_THAT(all_rows.tokens, Each(Not(::testing::IsNan())));
}

TEST_P(TypedSessionTest, ReplaysAPlanThatComesAgainWithTheSameBits) {
  const TestSession session(TestModel(), MakeOptions(GetParam()));
  ASSERT_EQ(session.code(), Code::kOk) << session.message();

  const TestResults eager = session.Run({kMerged, kExact});
  const TestResults captured = session.Run({kMerged, kExact});
  const TestResults replayed = session.Run({kMerged, kExact});

  EXPECT_EQ(captured.embeddings, eager.embeddings);
  EXPECT_EQ(replayed.embeddings, eager.embeddings);
  EXPECT_EQ(session.statistics().graph_runs, 1u);
  EXPECT_EQ(session.statistics().eager_runs, 2u);
}

std::string TypeName(const ::testing::TestParamInfo<ElementType>& type) {
  constexpr std::array<const char*, 3> kNames = {"float32", "float16", "bfloat16"};
  return kNames[static_cast<size_t>(type.param)];
}

INSTANTIATE_TEST_SUITE_P(Types, TypedSessionTest,
                         ::testing::Values(ElementType::kFloat32, ElementType::kFloat16,
                                           ElementType::kBFloat16),
                         TypeName);

TEST_F(SessionTest, AGraphOfOnePlanDoesNotServeAnother) {
  const TestSession session(TestModel(), MakeOptions());
  for (int i = 0; i < 3; ++i) session.Run({kMerged});

  const TestResults other = session.Run({{.seed = 2, .merges_per_block = {5, 3, 3}}});

  EXPECT_NE(other.embeddings[0], session.Run({kMerged}).embeddings[0]);
}

TEST_F(SessionTest, PoolsEachImageOfABatchItsOwnWay) {
  TestModel model;
  model.model.prefix_tokens = 2;
  model.model.attention_pooling = true;
  model.model.projection_dim = 32;
  const TestSession session(model, MakeOptions());
  ASSERT_EQ(session.code(), Code::kOk) << session.message();
  std::vector<TestImage> images;
  for (const Pooling pooling : {Pooling::kMeanOfPatches, Pooling::kAttention, Pooling::kClassToken,
                                Pooling::kMeanOfClassTokens}) {
    images.push_back({.seed = 4, .merges_per_block = {4, 4, 4}, .pooling = pooling});
  }

  const TestResults together = session.Run(images);

  ASSERT_EQ(together.code, Code::kOk) << together.message;
  for (size_t i = 0; i < images.size(); ++i) {
    EXPECT_EQ(together.embeddings[i], session.Run({images[i]}).embeddings[0]) << "image " << i;
    EXPECT_THAT(together.embeddings[i], Each(Not(::testing::IsNan())));
  }
  EXPECT_EQ(together.embeddings[0].size(), 64u);
  EXPECT_EQ(together.embeddings[1].size(), 32u);
}

TEST_F(SessionTest, AMergeMapFollowsEveryTokenToItsLastRow) {
  const TestSession session(TestModel(), MakeOptions());

  const TestResults results = session.Run({kExact, kMost}, {.merge_map = true});

  ASSERT_EQ(results.code, Code::kOk) << results.message;
  const std::span<const Segment> last = results.plan.at(3);
  std::vector<float> counted(results.plan.packed_tokens(3), 0.0f);
  for (size_t token = 0; token < results.groups.size(); ++token) {
    const Segment& own = last[token / 37];
    ASSERT_GE(results.groups[token], own.offset);
    ASSERT_LT(results.groups[token], own.offset + own.tokens);
    counted[results.groups[token]] += 1.0f;
  }
  EXPECT_EQ(results.sizes, counted);
}

TEST_F(SessionTest, ServesTwoRunsAtATime) {
  const TestSession session(TestModel(), MakeOptions());
  const TestResults merged = session.Run({kMerged, kMerged});
  const TestResults exact = session.Run({kExact});

  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 4; ++j) {
        EXPECT_EQ(session.Run({kMerged, kMerged}).embeddings, merged.embeddings);
        EXPECT_EQ(session.Run({kExact}).embeddings, exact.embeddings);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(session.statistics().graph_runs + session.statistics().eager_runs, 26u);
}

TEST_F(SessionTest, RefusesToStartWhereABatchWouldNotFit) {
  TestModel model;
  model.model.mlp_hidden_dim = 1 << 19;

  const TestSession session(model, {.max_images = 7000});

  EXPECT_EQ(session.code(), Code::kOutOfMemory);
  EXPECT_THAT(session.message(), AllOf(HasSubstr("device 0: a batch of 7000 images needs 5"),
                                       HasSubstr("activations 5"), HasSubstr("GiB are free")));
}

TEST_F(SessionTest, NamesWhatOfAModelItCannotServe) {
  TestModel odd_width;
  odd_width.model.token_dim = 60;
  EXPECT_EQ(TestSession(odd_width, MakeOptions()).message(),
            "token width: 60 is not a multiple of 8");
  TestModel wide_heads;
  wide_heads.model.token_dim = 272;
  EXPECT_EQ(TestSession(wide_heads, MakeOptions()).message(), "head size: 136 is outside [1, 128]");
}

}  // namespace
}  // namespace tome::cuda
