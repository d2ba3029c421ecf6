#include "server/model/token_match.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "server/merge/merge_plan.h"

namespace tome {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The definition, one pair at a time: of all A tokens that are left the one with the best B.
TokenMatch Obvious(const std::vector<float>& scores, int tokens, int prefix, int merges) {
  const int rows_b = tokens / 2;
  std::vector<bool> gone(RowsOfA(tokens));
  TokenMatch match;
  for (int merged = 0; merged < merges; ++merged) {
    int best_a = -1;
    int best_b = -1;
    float best = 0.0f;
    for (int row_a = 0; row_a < tokens; row_a += 2) {
      for (int row_b = 1; row_b < tokens; row_b += 2) {
        if (row_a < prefix || row_b < prefix || gone[row_a / 2]) continue;
        float score = scores[row_a / 2 * rows_b + row_b / 2];
        if (std::isnan(score)) score = -kInfinity;
        if (best_a < 0 || score > best) {
          best = score;
          best_a = row_a / 2;
          best_b = row_b / 2;
        }
      }
    }
    gone[best_a] = true;
    match.source.push_back(best_a);
    match.destination.push_back(best_b);
  }
  for (int a = 0; a < RowsOfA(tokens); ++a) {
    if (!gone[a]) match.kept.push_back(a);
  }
  return match;
}

TEST(TokenMatchTest, ChoosesWhatTheDefinitionChooses) {
  std::mt19937 random(3);
  for (int tokens = 1; tokens <= 12; ++tokens) {
    for (int prefix = 0; prefix <= std::min(tokens, 5); ++prefix) {
      for (int merges = 0; merges <= MaxMerges(tokens, prefix); ++merges) {
        // Few different values, so that ties are the rule; now and then none at all.
        std::vector<float> scores;
        for (int i = 0; i < RowsOfA(tokens) * RowsOfB(tokens); ++i) {
          const float values[] = {-1.0f, -0.5f, 0.0f, 0.5f, 1.0f, kNan, -kInfinity};
          scores.push_back(values[random() % 7]);
        }
        EXPECT_EQ(SelectMatch(scores, tokens, prefix, merges),
                  Obvious(scores, tokens, prefix, merges))
            << tokens << " tokens, " << prefix << " prefix, " << merges << " merges, scores "
            << testing::PrintToString(scores);
      }
    }
  }
}

TEST(TokenMatchTest, MergesTheHighestScoresFirst) {
  // Rows 0..5: A is 0 2 4, B is 1 3 5.
  const std::vector<float> scores = {0.1f, 0.7f, 0.2f,   //
                                     0.3f, 0.2f, 0.9f,   //
                                     0.8f, 0.4f, 0.5f};  //

  const TokenMatch match = SelectMatch(scores, 6, 0, 2);

  EXPECT_THAT(match.source, ElementsAre(1, 2));
  EXPECT_THAT(match.destination, ElementsAre(2, 0));
  EXPECT_THAT(match.kept, ElementsAre(0));
}

TEST(TokenMatchTest, GivesTiesToTheLowestIndex) {
  const TokenMatch match = SelectMatch(std::vector<float>(9, 1.0f), 6, 0, 2);

  EXPECT_THAT(match.source, ElementsAre(0, 1));
  EXPECT_THAT(match.destination, ElementsAre(0, 0));
}

TEST(TokenMatchTest, CountsNanAsMinusInfinity) {
  const std::vector<float> scores = {kNan, -5.0f,  //
                                     kNan, kNan};

  const TokenMatch match = SelectMatch(scores, 4, 0, 2);

  EXPECT_THAT(match.source, ElementsAre(0, 1));
  EXPECT_THAT(match.destination, ElementsAre(1, 0));
}

TEST(TokenMatchTest, NeverTouchesAPrefixTokenEvenWhereNothingElseScores) {
  // Prefix of 2: A row 0 and B row 0. All unprotected scores are NaN, the prefix's are perfect.
  const std::vector<float> scores = {1.0f, 1.0f, 1.0f,   //
                                     1.0f, kNan, kNan,   //
                                     1.0f, kNan, kNan};  //

  const TokenMatch match = SelectMatch(scores, 6, 2, 2);

  EXPECT_THAT(match.source, ElementsAre(1, 2));
  EXPECT_THAT(match.destination, ElementsAre(1, 1));
  EXPECT_THAT(match.kept, ElementsAre(0));
}

TEST(TokenMatchTest, MergesNothingOfAPrefixAlone) {
  EXPECT_THAT(SelectMatch({}, 1, 1, 0).kept, ElementsAre(0));
  EXPECT_THAT(SelectMatch({}, 1, 1, 0).source, IsEmpty());
  EXPECT_THAT(SelectMatch({}, 0, 0, 0).kept, IsEmpty());
}

TEST(RowsAfterMergeTest, OrdersPrefixThenKeptThenB) {
  // Rows 0..6, prefix 2. A: 0 2 4 6, B: 1 3 5. Rows 2 and 6 join row 5.
  const TokenMatch match = {.kept = {0, 2}, .source = {3, 1}, .destination = {2, 2}};

  // After: 0 1 | 4 | 3 5.
  EXPECT_THAT(RowsAfterMerge(match, 7, 2), ElementsAre(0, 1, 4, 3, 2, 4, 4));
}

TEST(RowsAfterMergeTest, ReordersEvenWhereNothingMerges) {
  const TokenMatch match = {.kept = {0, 1, 2}, .source = {}, .destination = {}};

  EXPECT_THAT(RowsAfterMerge(match, 5, 1), ElementsAre(0, 3, 1, 4, 2));
}

}  // namespace
}  // namespace tome
