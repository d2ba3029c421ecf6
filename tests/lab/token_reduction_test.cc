#include "server/lab/token_reduction.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/lab/ablation.h"
#include "server/merge/merge_plan.h"
#include "server/model/checkpoint.h"

namespace tome {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

constexpr int kTokens = 13;
constexpr int kPrefixRows = 1;
constexpr int kFewer = 4;
constexpr int kHeads = 2;

using Vector = std::vector<double>;
// A token and its size.
using Sized = std::pair<Vector, double>;

Vector RowOf(const at::Tensor& row) {
  const at::Tensor values = row.to(at::kDouble).flatten().contiguous();
  const double* first = values.const_data_ptr<double>();
  return {first, first + values.numel()};
}

// One image in the middle of a depth of 4 blocks, all of it random.
class TokenReductionTest : public testing::Test {
 protected:
  std::vector<Sized> Reduce(const Reduction& reduction, int seed = 1) const {
    const auto [tokens, size] = MakeReduction(reduction, std::mt19937_64(seed))({
        .tokens = tokens_,
        .size = size_,
        .qkv = qkv_,
        .images = {&segment_, 1},
        .prefix_tokens = kPrefixRows,
        .block = 2,
        .blocks = 4,
    });
    std::vector<Sized> rows;
    for (int64_t i = 0; i < tokens.size(0); ++i) {
      rows.emplace_back(RowOf(tokens[i]), size[i].item<double>());
    }
    return rows;
  }

  std::vector<Sized> Before() const {
    std::vector<Sized> rows;
    for (int i = 0; i < kTokens; ++i) {
      rows.emplace_back(RowOf(tokens_[i]), size_[i].item<double>());
    }
    return rows;
  }

  Vector FeatureOf(const Reduction& reduction, int row) const {
    if (reduction.feature == Feature::kToken) return RowOf(tokens_[row]);
    const int part = reduction.feature == Feature::kQuery ? 0
                     : reduction.feature == Feature::kKey ? 1
                                                          : 2;
    const at::Tensor heads = qkv_[row][part];
    return RowOf(reduction.heads == Heads::kMean ? heads.mean(0) : heads);
  }

  const c10::InferenceMode inference_;
  at::Generator random_ = at::detail::createCPUGenerator(7);
  at::Tensor tokens_ = at::randn({kTokens, 5}, random_);
  at::Tensor size_ = at::rand({kTokens}, random_) + 1.0;
  at::Tensor qkv_ = at::randn({kTokens, 3, kHeads, 4}, random_);
  Segment segment_ = {.offset = 0, .tokens = kTokens, .merges = kFewer};
};

double Dot(const Vector& a, const Vector& b) {
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

double Cosine(const Vector& a, const Vector& b) {
  return Dot(a, b) / std::sqrt(Dot(a, a) * Dot(b, b));
}

double SimilarityOf(Similarity similarity, const Vector& a, const Vector& b) {
  if (similarity == Similarity::kCosine) return Cosine(a, b);
  if (similarity == Similarity::kDotProduct) return Dot(a, b);
  return -std::sqrt(Dot(a, a) + Dot(b, b) - 2.0 * Dot(a, b));
}

// The definition, element by element; the first of the group is of set B.
Sized Combined(Combine combine, const std::vector<Sized>& group) {
  Sized result(Vector(group[0].first.size()), 0.0);
  for (const Sized& each : group) result.second += each.second;
  for (size_t d = 0; d < result.first.size(); ++d) {
    double weighted = 0.0;
    double sum = 0.0;
    double most = group[0].first[d];
    for (const auto& [token, size] : group) {
      weighted += token[d] * size;
      sum += token[d];
      most = std::max(most, token[d]);
    }
    result.first[d] = combine == Combine::kWeightedMean ? weighted / result.second
                      : combine == Combine::kMean       ? sum / static_cast<double>(group.size())
                      : combine == Combine::kMax        ? most
                                                        : group[0].first[d];
  }
  return result;
}

// Of the best pairs (a, b) with every a in one only, the `count` best; what is left, in the order:
// prefix, a, b.
template <typename Similarity>
std::vector<Sized> Paired(const std::vector<Sized>& before, std::vector<int> set_a,
                          const std::vector<int>& set_b, int count, Combine combine,
                          const Similarity& similarity) {
  std::vector<std::vector<Sized>> groups(before.size());
  for (size_t row = 0; row < before.size(); ++row) groups[row] = {before[row]};
  const auto best_b = [&](int a) {
    return *std::ranges::max_element(set_b, {}, [&](int b) { return similarity(a, b); });
  };
  std::vector<int> by_score = set_a;
  std::ranges::sort(by_score, std::greater(), [&](int a) { return similarity(a, best_b(a)); });
  by_score.resize(count);
  for (const int a : by_score) {
    groups[best_b(a)].push_back(before[a]);
    std::erase(set_a, a);
  }
  std::vector<Sized> after = {before[0]};
  for (const int a : set_a) after.push_back(before[a]);
  for (const int b : set_b) after.push_back(Combined(combine, groups[b]));
  return after;
}

void ExpectNear(const std::vector<Sized>& actual, const std::vector<Sized>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t row = 0; row < actual.size(); ++row) {
    EXPECT_NEAR(actual[row].second, expected[row].second, 1e-5) << row;
    for (size_t d = 0; d < actual[row].first.size(); ++d) {
      EXPECT_NEAR(actual[row].first[d], expected[row].first[d], 1e-5) << row << ", " << d;
    }
  }
}

// Rows 1 to 12 are patches; row 0, the prefix, counts as one of the even.
const std::vector<int> kEven = {2, 4, 6, 8, 10, 12};
const std::vector<int> kOdd = {1, 3, 5, 7, 9, 11};

TEST_F(TokenReductionTest, MergesTheBestPairsByEachFeatureAndSimilarity) {
  for (const Feature feature : {Feature::kKey, Feature::kQuery, Feature::kValue, Feature::kToken}) {
    for (const Heads heads : {Heads::kMean, Heads::kConcatenated}) {
      for (const Similarity similarity :
           {Similarity::kCosine, Similarity::kDotProduct, Similarity::kEuclidean}) {
        SCOPED_TRACE(testing::Message() << static_cast<int>(feature) << static_cast<int>(heads)
                                        << static_cast<int>(similarity));
        const Reduction reduction = {.feature = feature, .heads = heads, .similarity = similarity};
        const auto alike = [&](int a, int b) {
          return SimilarityOf(similarity, FeatureOf(reduction, a), FeatureOf(reduction, b));
        };

        ExpectNear(Reduce(reduction),
                   Paired(Before(), kEven, kOdd, kFewer, Combine::kWeightedMean, alike));
      }
    }
  }
}

TEST_F(TokenReductionTest, CombinesPairsInEachWay) {
  const auto alike = [&](int a, int b) { return Cosine(FeatureOf({}, a), FeatureOf({}, b)); };
  for (const Combine combine :
       {Combine::kWeightedMean, Combine::kMean, Combine::kMax, Combine::kKeepOne}) {
    SCOPED_TRACE(static_cast<int>(combine));

    ExpectNear(Reduce({.combine = combine}), Paired(Before(), kEven, kOdd, kFewer, combine, alike));
  }
}

TEST_F(TokenReductionTest, PairsTheFirstHalfWithTheSecond) {
  const auto alike = [&](int a, int b) { return Cosine(FeatureOf({}, a), FeatureOf({}, b)); };

  ExpectNear(Reduce({.sets = Sets::kSequential}),
             Paired(Before(), {1, 2, 3, 4, 5, 6}, {7, 8, 9, 10, 11, 12}, kFewer,
                    Combine::kWeightedMean, alike));
}

TEST_F(TokenReductionTest, DrawsRandomSetsAnewForEachSeed) {
  const Reduction reduction = {.sets = Sets::kRandom};

  EXPECT_EQ(Reduce(reduction, 1), Reduce(reduction, 1));
  EXPECT_NE(Reduce(reduction, 1), Reduce(reduction, 2));
}

TEST_F(TokenReductionTest, DropsPatchesAtRandomAndKeepsTheOthersInOrder) {
  const std::vector<Sized> before = Before();
  std::set<Sized> kept_by_some_seed;
  for (int seed = 0; seed < 30; ++seed) {
    const std::vector<Sized> after = Reduce({.method = Method::kDropRandom}, seed);

    ASSERT_EQ(after.size(), before.size() - kFewer);
    EXPECT_EQ(after[0], before[0]);
    auto place = before.begin();
    for (const Sized& row : after) {
      place = std::find(place, before.end(), row);
      ASSERT_NE(place, before.end());
    }
    kept_by_some_seed.insert(after.begin(), after.end());
  }
  EXPECT_EQ(kept_by_some_seed.size(), before.size());
}

TEST_F(TokenReductionTest, DropsThePatchesThatTheClassTokenAttendsToLeast) {
  std::vector<double> attention(kTokens);
  for (int head = 0; head < kHeads; ++head) {
    Vector exponential(kTokens);
    double sum = 0.0;
    for (int row = 0; row < kTokens; ++row) {
      const double logit = Dot(RowOf(qkv_[0][0][head]), RowOf(qkv_[row][1][head])) / 2.0;
      sum += exponential[row] = std::exp(logit);
    }
    for (int row = 0; row < kTokens; ++row) attention[row] += exponential[row] / sum;
  }
  std::vector<double> least(attention.begin() + kPrefixRows, attention.end());
  std::ranges::sort(least);
  std::vector<Sized> expected;
  for (int row = 0; row < kTokens; ++row) {
    if (row < kPrefixRows || attention[row] > least[kFewer - 1]) expected.push_back(Before()[row]);
  }

  EXPECT_EQ(Reduce({.method = Method::kDropByClassAttention}), expected);
}

TEST_F(TokenReductionTest, FindsTheClustersThatAreThere) {
  // Three directions, four patches of each, interleaved; every patch has a token of its own.
  for (int row = kPrefixRows; row < kTokens; ++row) {
    qkv_[row][1].fill_(0.0);
    qkv_[row][1].select(1, row % 3).fill_(1.0 + row);
  }
  segment_.merges = kTokens - kPrefixRows - 3;
  const std::vector<Sized> before = Before();
  std::vector<Sized> expected = {before[0]};
  for (const int first : {1, 2, 3}) {
    expected.push_back(Combined(Combine::kWeightedMean, {before[first], before[first + 3],
                                                         before[first + 6], before[first + 9]}));
  }
  for (int seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);

    ExpectNear(Reduce({.method = Method::kKMeans, .iterations = 5}, seed), expected);
  }
}

TEST_F(TokenReductionTest, LeavesAsManyClustersAsAskedForThoughAllPatchesAreAlike) {
  qkv_.fill_(1.0);

  EXPECT_EQ(Reduce({.method = Method::kKMeans, .iterations = 2}).size(), kTokens - kFewer);
}

// f of the paper, margin 0.5.
double F(double cosine) { return cosine >= 0.5 ? cosine : std::exp(cosine - 0.5) - 1.0; }

TEST(PiToMeEnergyTest, IsThePapersFormula) {
  const at::Tensor unit = at::tensor({1.0f, 0.0f, 0.8f, 0.6f, -0.6f, 0.8f}).view({3, 2});

  EXPECT_THAT(
      RowOf(PiToMeEnergy(unit, 0.5)),
      ElementsAre(DoubleNear((0.8 + F(-0.6)) / 2.0, 1e-6), DoubleNear((0.8 + F(0.0)) / 2.0, 1e-6),
                  DoubleNear((F(-0.6) + F(0.0)) / 2.0, 1e-6)));
}

TEST_F(TokenReductionTest, MergesWhatPiToMeDoesAndLeavesPatchesOfLowEnergyAlone) {
  const auto alike = [&](int a, int b) { return Cosine(FeatureOf({}, a), FeatureOf({}, b)); };
  const auto energy = [&](int row) {
    double sum = 0.0;
    for (int other = kPrefixRows; other < kTokens; ++other) {
      // Block 2 of 4: the margin is 0.9 - 0.9 / 2.
      const double cosine = alike(row, other);
      if (other != row) sum += cosine >= 0.45 ? cosine : std::exp(cosine - 0.45) - 1.0;
    }
    return sum;
  };
  std::vector<int> patches;
  for (int row = kPrefixRows; row < kTokens; ++row) patches.push_back(row);
  std::ranges::sort(patches, std::greater(), energy);
  std::vector<int> set_a;
  std::vector<int> set_b;
  for (int i = 0; i < 2 * kFewer; ++i) (i % 2 == 0 ? set_b : set_a).push_back(patches[i]);
  std::vector<Sized> expected =
      Paired(Before(), set_a, set_b, kFewer, Combine::kWeightedMean, alike);
  for (size_t i = 2 * kFewer; i < patches.size(); ++i) expected.push_back(Before()[patches[i]]);

  std::vector<Sized> after = Reduce({.method = Method::kPiToMe});

  EXPECT_EQ(after[0], Before()[0]);
  std::ranges::sort(after);
  std::ranges::sort(expected);
  ExpectNear(after, expected);
}

// A model of the merging reference results, and a batch of which each image has its own r.
class ReducedPassTest : public testing::TestWithParam<std::string> {
 protected:
  ReducedPassTest()
      : checkpoint_(
            *OpenCheckpoint(std::filesystem::path(TOME_TEST_DATA).parent_path().parent_path() /
                            "model/testdata" / GetParam())),
        pass_(checkpoint_.vit(), LoadVitWeights(checkpoint_.tensors, at::kFloat)),
        plan_(Images(checkpoint_.vit()), checkpoint_.vit().blocks,
              checkpoint_.vit().prefix_tokens()) {
    const VitDescription& vit = checkpoint_.vit();
    pixels_ =
        at::randn({plan_.images(), 3, vit.preprocessing.crop_height, vit.preprocessing.crop_width},
                  at::detail::createCPUGenerator(5));
  }

  static std::vector<MergePlan::Image> Images(const VitDescription& vit) {
    std::vector<MergePlan::Image> images;
    for (const int r : {0, 3, 8, 3}) {
      images.push_back({.tokens = vit.tokens(), .merges_per_block = std::vector(vit.blocks, r)});
    }
    return images;
  }

  const c10::InferenceMode inference_;
  const Checkpoint checkpoint_;
  const ReferencePass pass_;
  const MergePlan plan_;
  at::Tensor pixels_;
};

TEST_P(ReducedPassTest, IsToTheBitThePassItselfByDefault) {
  const PassResult own = pass_.Run(pixels_, plan_);

  const PassResult reduced = pass_.Run(pixels_, plan_, MakeReduction({}, std::mt19937_64(1)));

  EXPECT_TRUE(at::equal(reduced.tokens, own.tokens));
  EXPECT_TRUE(at::equal(reduced.size, own.size));
  for (int image = 0; image < plan_.images(); ++image) {
    EXPECT_TRUE(at::equal(reduced.embeddings[image], own.embeddings[image])) << image;
  }
}

TEST_P(ReducedPassTest, LosesNoPatchUnlessItDropsThem) {
  for (const Variant& variant : VariantsFor(checkpoint_.vit())) {
    if (!variant.not_for_model.empty()) continue;
    SCOPED_TRACE(variant.name);
    const Method method = variant.reduction.method;
    const bool drops = method == Method::kDropRandom || method == Method::kDropByClassAttention;

    const PassResult result =
        pass_.Run(pixels_, plan_, MakeReduction(variant.reduction, std::mt19937_64(1)));

    const int expected = drops ? plan_.packed_tokens(plan_.blocks()) : plan_.packed_tokens(0);
    EXPECT_EQ(result.size.sum().item<double>(), expected);
    EXPECT_TRUE(at::stack(result.embeddings).isfinite().all().item<bool>());
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ReducedPassTest,
                         testing::Values("plain", "distilled", "no_prefix", "mae_pool",
                                         "registers"),
                         [](const auto& model) { return model.param; });

}  // namespace
}  // namespace tome
