#include "server/model/merge_tokens.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <vector>

#include "server/model/linear.h"

namespace tome {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

at::Tensor Random(std::vector<int64_t> shape, int seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  int64_t count = 1;
  for (const int64_t dimension : shape) count *= dimension;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return at::tensor(values).view(shape);
}

std::vector<float> Floats(const at::Tensor& tensor) {
  const at::Tensor contiguous = tensor.contiguous();
  const float* data = contiguous.const_data_ptr<float>();
  return {data, data + contiguous.numel()};
}

class MergeTokensTest : public testing::Test {
 private:
  const c10::InferenceMode inference_;
};

// One row a token, one head.
at::Tensor Keys(const std::vector<std::vector<float>>& rows) {
  std::vector<float> flat;
  for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
  return at::tensor(flat).view(
      {static_cast<int64_t>(rows.size()), 1, static_cast<int64_t>(rows[0].size())});
}

TEST_F(MergeTokensTest, MatchesByTheAngleBetweenKeysNotTheirLength) {
  const Segment segment = {.offset = 0, .tokens = 4, .merges = 1};

  // Row 0 is near row 3 by angle, though row 1 is far longer.
  const auto matches = MatchTokens(Keys({{1.0f, 0.1f}, {9.0f, 9.0f}, {0.0f, -1.0f}, {0.1f, 0.0f}}),
                                   {&segment, 1}, 0);

  EXPECT_THAT(matches[0].source, ElementsAre(0));
  EXPECT_THAT(matches[0].destination, ElementsAre(1));
}

TEST_F(MergeTokensTest, MatchesByTheMeanOfTheHeads) {
  const Segment segment = {.offset = 0, .tokens = 4, .merges = 1};
  // Two heads of one dimension each cancel out for row 1 and add up for row 3.
  const at::Tensor keys =
      at::tensor({1.0f, 1.0f, 5.0f, -5.0f, -1.0f, -1.0f, 0.5f, 0.5f}).view({4, 2, 1});

  const auto matches = MatchTokens(keys, {&segment, 1}, 0);

  EXPECT_THAT(matches[0].source, ElementsAre(0));
  EXPECT_THAT(matches[0].destination, ElementsAre(1));
}

TEST_F(MergeTokensTest, ScoresAZeroKeyZeroAndANanLast) {
  const Segment segment = {.offset = 0, .tokens = 6, .merges = 2};

  // A: rows 0 (NaN), 2 (zero), 4; B: rows 1, 3, 5 all along the first axis, against row 4.
  const auto matches = MatchTokens(
      Keys({{kNan, 1.0f}, {1.0f, 0.0f}, {0.0f, 0.0f}, {1.0f, 0.0f}, {-1.0f, 0.0f}, {1.0f, 0.0f}}),
      {&segment, 1}, 0);

  EXPECT_THAT(matches[0].source, ElementsAre(1, 2));
  EXPECT_THAT(matches[0].destination, ElementsAre(0, 0));
}

TEST_F(MergeTokensTest, MatchesEachImageAmongItsOwnTokens) {
  const at::Tensor keys = Random({30, 3, 8}, 1);
  const std::vector<Segment> segments = {{.offset = 0, .tokens = 9, .merges = 3},
                                         {.offset = 9, .tokens = 14, .merges = 0},
                                         {.offset = 23, .tokens = 7, .merges = 2}};
  const Segment last_alone = {.offset = 0, .tokens = 7, .merges = 2};

  const auto matches = MatchTokens(keys, segments, 1);

  EXPECT_EQ(matches[2], MatchTokens(keys.narrow(0, 23, 7), {&last_alone, 1}, 1)[0]);
  EXPECT_THAT(matches[1].source, IsEmpty());
}

// The definition in plain loops, one image.
void MergeObviously(const TokenMatch& match, int tokens, int prefix, int dim, std::vector<float>* x,
                    std::vector<float>* size) {
  std::vector<float> sum = *x;
  std::vector<float> total = *size;
  std::vector<bool> receives(tokens);
  for (int row = 1; row < tokens; row += 2) {
    for (int d = 0; d < dim; ++d) sum[row * dim + d] = (*x)[row * dim + d] * (*size)[row];
    for (int source = 0; source < tokens; source += 2) {
      for (size_t i = 0; i < match.source.size(); ++i) {
        if (2 * match.source[i] != source || 2 * match.destination[i] + 1 != row) continue;
        receives[row] = true;
        total[row] += (*size)[source];
        for (int d = 0; d < dim; ++d) {
          const float weighted = (*x)[source * dim + d] * (*size)[source];
          sum[row * dim + d] += weighted;
        }
      }
    }
  }
  std::vector<int> order;
  for (int row = 0; row < prefix; ++row) order.push_back(row);
  for (const int a : match.kept) {
    if (2 * a >= prefix) order.push_back(2 * a);
  }
  for (int row = 1; row < tokens; row += 2) {
    if (row >= prefix) order.push_back(row);
  }
  std::vector<float> x_after;
  std::vector<float> size_after;
  for (const int row : order) {
    size_after.push_back(total[row]);
    for (int d = 0; d < dim; ++d) {
      x_after.push_back(receives[row] ? sum[row * dim + d] / total[row] : (*x)[row * dim + d]);
    }
  }
  *x = x_after;
  *size = size_after;
}

TEST_F(MergeTokensTest, MergesToTheBitAsTheDefinitionDoes) {
  constexpr int kDim = 24;
  std::mt19937 random(5);
  for (int prefix = 0; prefix <= 3; ++prefix) {
    for (int tokens = prefix; tokens <= 40; tokens += 3) {
      const int most = MaxMerges(tokens, prefix);
      for (const int merges : {0, most / 2, most}) {
        if (tokens == 0) continue;
        const Segment segment = {.offset = 0, .tokens = tokens, .merges = merges};
        // Few different keys, so that many sources share one destination.
        const at::Tensor keys = Random({4, 1, 8}, tokens).repeat({tokens / 4 + 1, 1, 1});
        const auto matches = MatchTokens(keys.narrow(0, 0, tokens), {&segment, 1}, prefix);
        const at::Tensor x = Random({tokens, kDim}, tokens + 100);
        std::vector<float> sizes(tokens);
        for (float& size : sizes) size = static_cast<float>(1 + random() % 9);

        const auto [merged, size] =
            MergeTokens(x, at::tensor(sizes), {&segment, 1}, matches, prefix);

        std::vector<float> expected = Floats(x);
        std::vector<float> expected_size = sizes;
        if (merges > 0) {
          MergeObviously(matches[0], tokens, prefix, kDim, &expected, &expected_size);
        }
        EXPECT_EQ(Floats(merged), expected) << tokens << " tokens, " << merges << " merges";
        EXPECT_EQ(Floats(size), expected_size) << tokens << " tokens, " << merges << " merges";
      }
    }
  }
}

TEST_F(MergeTokensTest, LeavesAnImageThatMergesNothingAsItIs) {
  const std::vector<Segment> segments = {{.offset = 0, .tokens = 6, .merges = 0},
                                         {.offset = 6, .tokens = 6, .merges = 3}};
  const at::Tensor x = Random({12, 8}, 2);
  const at::Tensor size = at::tensor({1.f, 3.f, 1.f, 7.f, 3.f, 1.f, 1.f, 1.f, 1.f, 1.f, 1.f, 1.f});
  const auto matches = MatchTokens(Random({12, 2, 4}, 3), segments, 0);

  const auto [merged, merged_size] = MergeTokens(x, size, segments, matches, 0);

  EXPECT_EQ(merged.size(0), 9);
  EXPECT_TRUE(at::equal(merged.narrow(0, 0, 6), x.narrow(0, 0, 6)));
  EXPECT_TRUE(at::equal(merged_size.narrow(0, 0, 6), size.narrow(0, 0, 6)));
}

TEST_F(MergeTokensTest, SumsBfloat16TokensInFloat32) {
  const Segment segment = {.offset = 0, .tokens = 6, .merges = 3};
  const TokenMatch match = {.kept = {}, .source = {0, 1, 2}, .destination = {0, 0, 0}};
  const at::Tensor x =
      at::tensor({1.0f, 256.0f, 1.0f, 7.0f, 1.0f, 7.0f}).to(c10::ScalarType::BFloat16).view({6, 1});

  const auto [merged, size] = MergeTokens(x, at::ones({6}), {&segment, 1}, {&match, 1}, 0);

  EXPECT_EQ(merged.scalar_type(), c10::ScalarType::BFloat16);
  // 259 / 4 rounds to 65; a bfloat16 sum would stay at 256 and give 64.
  EXPECT_THAT(Floats(merged.to(c10::ScalarType::Float)), ElementsAre(65.0f, 7.0f, 7.0f));
  EXPECT_THAT(Floats(size), ElementsAre(4.0f, 1.0f, 1.0f));
}

TEST(LinearTest, GivesARowTheSameBitsHoweverManyComeWithIt) {
  const c10::InferenceMode inference;
  for (const auto type : {c10::ScalarType::Float, c10::ScalarType::BFloat16}) {
    for (const auto& [inputs, outputs] : {std::pair{96, 288}, {384, 96}, {768, 192}, {3072, 768}}) {
      const Linear linear(Random({outputs, inputs}, 1).to(type), Random({outputs}, 2).to(type));
      const at::Tensor x = Random({70, inputs}, 3).to(type);
      const at::Tensor all = linear(x);
      for (const int rows : {1, 2, 3, 7, 8, 17, 49, 64}) {
        EXPECT_TRUE(at::equal(linear(x.narrow(0, 5, rows)), all.narrow(0, 5, rows)))
            << c10::toString(type) << " " << inputs << " x " << outputs << ", " << rows << " rows";
      }
    }
  }
}

}  // namespace
}  // namespace tome
