#include "server/model/reference_pass.h"

#include <ATen/Parallel.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/stack.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "server/model/checkpoint.h"
#include "tests/model/oracle.h"

namespace tome {
namespace {

using ::testing::ElementsAreArray;
using ::testing::FloatNear;
using ::testing::Pointwise;

constexpr int kImages = 5;
constexpr float kTolerance = 1e-4f;

// The pass over a checkpoint of testdata, and its images.
class Model {
 public:
  explicit Model(const std::string& name, c10::ScalarType type = c10::ScalarType::Float)
      : checkpoint_(*OpenCheckpoint(OracleDirectory(name))),
        pass_(checkpoint_.vit(), LoadVitWeights(checkpoint_.tensors, type)) {}

  const VitDescription& vit() const { return checkpoint_.vit(); }

  MergePlan Plan(const std::vector<MergeSchedule>& schedules) const {
    std::vector<MergePlan::Image> images;
    for (const MergeSchedule& schedule : schedules) {
      images.push_back(
          {.tokens = vit().tokens(), .merges_per_block = schedule.PerBlockMerges(vit().blocks)});
    }
    return MergePlan(images, vit().blocks, vit().prefix_tokens());
  }

  PassResult Run(const at::Tensor& pixels, const MergePlan& plan) const {
    return pass_.Run(pixels, plan);
  }

 private:
  Checkpoint checkpoint_;
  ReferencePass pass_;
};

at::Tensor Inputs(const std::string& model) {
  const SafetensorsFile file = OpenOracleFile(model == "registers" ? "registers/input" : "input");
  const TensorView& input = *file.Find("input");
  return at::from_blob(const_cast<std::byte*>(input.bytes.data()), input.shape).clone();
}

std::vector<float> Floats(const at::Tensor& tensor) {
  const at::Tensor contiguous = tensor.contiguous();
  const float* data = contiguous.const_data_ptr<float>();
  return {data, data + contiguous.numel()};
}

std::vector<float> FinalSize(const PassResult& result, const MergePlan& plan, int image) {
  const Segment& segment = plan.at(plan.blocks())[image];
  return Floats(result.size.narrow(0, segment.offset, segment.tokens));
}

double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double dot = 0.0;
  double norm_a = 0.0;
  double norm_b = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    dot += double{a[i]} * b[i];
    norm_a += double{a[i]} * a[i];
    norm_b += double{b[i]} * b[i];
  }
  return dot / std::sqrt(norm_a * norm_b);
}

// Maps, counts and sizes are equal and the embedding is near, for one image of a batch.
void ExpectAgrees(const OracleResults& expected, int image, const PassResult& result,
                  const MergePlan& plan, int place) {
  EXPECT_THAT(Floats(result.embeddings[place]),
              Pointwise(FloatNear(kTolerance), expected.Embedding(image)));
  std::vector<int> counts;
  for (int block = 0; block < plan.blocks(); ++block) {
    counts.push_back(plan.at(block + 1)[place].tokens);
    const TokenMatch match = expected.Match(block, image);
    EXPECT_THAT(result.matches[block][place].kept, ElementsAreArray(match.kept)) << block;
    EXPECT_THAT(result.matches[block][place].source, ElementsAreArray(match.source)) << block;
    EXPECT_THAT(result.matches[block][place].destination, ElementsAreArray(match.destination))
        << block;
  }
  EXPECT_THAT(counts, ElementsAreArray(expected.TokenCounts()));
  if (!expected.Size(image).empty()) {
    EXPECT_THAT(FinalSize(result, plan, place), ElementsAreArray(expected.Size(image)));
    EXPECT_THAT(GroupOfToken(plan, result.matches, place),
                ElementsAreArray(expected.GroupOfToken(image)));
  }
}

// In every block, whatever the order of the scores.
bool MergesTheSamePairs(const OracleResults& expected, int image, const PassResult& result) {
  const auto pairs = [](const TokenMatch& match) {
    std::set<std::pair<int, int>> all;
    for (size_t i = 0; i < match.source.size(); ++i) {
      all.emplace(match.source[i], match.destination[i]);
    }
    return all;
  };
  for (size_t block = 0; block < result.matches.size(); ++block) {
    const TokenMatch match = expected.Match(static_cast<int>(block), image);
    if (pairs(result.matches[block][image]) != pairs(match)) return false;
  }
  return true;
}

class OracleTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { at::set_num_threads(1); }

  const c10::InferenceMode inference_;
};

TEST_P(OracleTest, AgreesWithEveryScheduleOfTheReferenceResults) {
  const Model model(GetParam());
  for (const OracleSchedule& schedule : OracleSchedules()) {
    SCOPED_TRACE(schedule.name);
    const MergePlan plan = model.Plan(std::vector(kImages, schedule.schedule));

    const PassResult result = model.Run(Inputs(GetParam()), plan);

    const OracleResults expected(GetParam(), schedule.name);
    for (int image = 0; image < kImages; ++image) {
      SCOPED_TRACE(image);
      ExpectAgrees(expected, image, result, plan, image);
    }
  }
}

TEST_P(OracleTest, AgreesWhereEveryImageOfTheBatchHasItsOwnSchedule) {
  const Model model(GetParam());
  const std::vector<OracleSchedule> schedules = OracleSchedules();
  std::vector<MergeSchedule> mixture;
  std::vector<at::Tensor> images;
  for (size_t i = 0; i < schedules.size(); ++i) {
    mixture.push_back(schedules[i].schedule);
    images.push_back(Inputs(GetParam())[static_cast<int64_t>(i) % kImages]);
  }
  const MergePlan plan = model.Plan(mixture);

  const PassResult result = model.Run(at::stack(images), plan);

  for (size_t i = 0; i < schedules.size(); ++i) {
    SCOPED_TRACE(schedules[i].name);
    ExpectAgrees(OracleResults(GetParam(), schedules[i].name), static_cast<int>(i) % kImages,
                 result, plan, static_cast<int>(i));
  }
}

// In bfloat16 a near tie may fall the other way, and tokens of other patches become one: such an
// embedding is still near, but not as near as rounding alone leaves it.
TEST_P(OracleTest, KeepsTheDirectionOfTheEmbeddingInBfloat16) {
  const Model model(GetParam(), c10::ScalarType::BFloat16);
  for (const OracleSchedule& schedule : OracleSchedules()) {
    const MergePlan plan = model.Plan(std::vector(kImages, schedule.schedule));

    const PassResult result = model.Run(Inputs(GetParam()), plan);

    const OracleResults expected(GetParam(), schedule.name);
    for (int image = 0; image < kImages; ++image) {
      const bool same_map = MergesTheSamePairs(expected, image, result);
      EXPECT_GE(Cosine(Floats(result.embeddings[image]), expected.Embedding(image)),
                same_map ? 0.999 : 0.95)
          << schedule.name << ", image " << image;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, OracleTest,
                         testing::Values("plain", "distilled", "no_prefix", "mae_pool",
                                         "registers"),
                         [](const auto& model) { return model.param; });

// The promise that batch mates do not matter: compute type and threads.
class BatchMatesTest : public testing::TestWithParam<std::tuple<c10::ScalarType, int>> {
 protected:
  void SetUp() override { at::set_num_threads(std::get<1>(GetParam())); }

  const c10::InferenceMode inference_;
};

TEST_P(BatchMatesTest, DoNotChangeABitOfAnImagesResult) {
  for (const std::string name : {"plain", "distilled", "no_prefix", "registers"}) {
    SCOPED_TRACE(name);
    const Model model(name, std::get<0>(GetParam()));
    constexpr int kBatch = 16;
    std::vector<MergeSchedule> schedules;
    std::vector<at::Tensor> images;
    for (int i = 0; i < kBatch; ++i) {
      schedules.push_back(OracleSchedules()[i * 3 % OracleSchedules().size()].schedule);
      images.push_back(Inputs(name)[i % kImages]);
    }
    const MergePlan plan = model.Plan(schedules);
    const std::vector<MergeSchedule> reversed(schedules.rbegin(), schedules.rend());
    const MergePlan reversed_plan = model.Plan(reversed);

    const PassResult together = model.Run(at::stack(images), plan);
    const PassResult backwards = model.Run(at::stack(images).flip(0), reversed_plan);

    for (int i = 0; i < kBatch; ++i) {
      SCOPED_TRACE(i);
      const MergePlan own_plan = model.Plan({schedules[i]});
      const PassResult alone = model.Run(images[i].unsqueeze(0), own_plan);
      const int mirrored = kBatch - 1 - i;
      const std::vector<int> group = GroupOfToken(own_plan, alone.matches, 0);
      EXPECT_EQ(GroupOfToken(plan, together.matches, i), group);
      EXPECT_EQ(GroupOfToken(reversed_plan, backwards.matches, mirrored), group);
      EXPECT_EQ(FinalSize(together, plan, i), FinalSize(alone, own_plan, 0));
      EXPECT_EQ(Floats(together.embeddings[i]), Floats(alone.embeddings[0]));
      EXPECT_EQ(Floats(backwards.embeddings[mirrored]), Floats(alone.embeddings[0]));
      const Segment& final_rows = plan.at(plan.blocks())[i];
      EXPECT_EQ(Floats(together.tokens.narrow(0, final_rows.offset, final_rows.tokens)),
                Floats(alone.tokens));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(TypesAndThreads, BatchMatesTest,
                         testing::Combine(testing::Values(c10::ScalarType::Float,
                                                          c10::ScalarType::BFloat16),
                                          testing::Values(1, 2)),
                         [](const auto& parameters) {
                           return std::string(c10::toString(std::get<0>(parameters.param))) +
                                  std::to_string(std::get<1>(parameters.param)) + "Threads";
                         });

}  // namespace
}  // namespace tome
