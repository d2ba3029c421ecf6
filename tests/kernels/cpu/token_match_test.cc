#include "server/kernels/cpu/token_match.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/kernels/cpu/kernel_test.h"

namespace tome::kernels::cpu {
namespace {

using ::testing::ElementsAre;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// MatchTokens' lists in a form that can be compared: for each new row its old row, then the rows
// that join it; and each old row's new one.
struct Matched {
  std::vector<std::vector<int>> old_rows;
  std::vector<int> row_after;
  friend bool operator==(const Matched&, const Matched&) = default;
};

struct Case {
  std::vector<Segment> segments;
  int prefix = 1;
  int heads = 1;
  int head_size = 8;
  Elements keys;

  Matched Run(ElementType type, const Compute& compute) const {
    const std::vector<Segment> after = SegmentsAfter(segments);
    const int rows_in = segments.back().offset + segments.back().tokens;
    const int rows_out = after.back().offset + after.back().tokens;
    const Scratch scratch(
        TokenMatchScratchBytes(static_cast<int>(segments.size()), rows_in, head_size));
    std::vector<int> own(rows_out, -1), first(rows_out, -1), count(rows_out, -1);
    std::vector<int> source(rows_in, -1);
    Matched matched;
    matched.row_after.assign(rows_in, -1);
    MatchTokens({.type = type,
                 .keys = keys.at(0),
                 .key_stride = heads * head_size,
                 .heads = heads,
                 .head_size = head_size,
                 .segments = segments,
                 .segments_after = after,
                 .prefix_tokens = prefix,
                 .scratch = scratch.data(),
                 .own_row = own.data(),
                 .first_source = first.data(),
                 .source_count = count.data(),
                 .source_row = source.data(),
                 .row_after = matched.row_after.data()},
                compute);
    for (int row = 0; row < rows_out; ++row) {
      std::vector<int>& rows = matched.old_rows.emplace_back(1, own[row]);
      rows.insert(rows.end(), source.begin() + first[row],
                  source.begin() + first[row] + count[row]);
    }
    return matched;
  }

  // The definition, pair by pair.
  Matched Reference() const {
    Matched matched;
    for (const Segment& segment : segments) {
      const int offset = segment.offset;
      std::vector<std::vector<double>> metric;
      for (int row = 0; row < segment.tokens; ++row) metric.push_back(Metric(offset + row));
      std::vector<int> joins(segment.tokens, -1);
      for (int merge = 0; merge < segment.merges; ++merge) {
        int best_a = -1;
        int best_b = -1;
        double best = 0;
        for (int a = 0; a < segment.tokens; a += 2) {
          for (int b = 1; b < segment.tokens; b += 2) {
            if (a < prefix || b < prefix || joins[a] >= 0) continue;
            double score =
                std::inner_product(metric[a].begin(), metric[a].end(), metric[b].begin(), 0.0);
            // Products that differ by rounding alone are ties.
            score = std::isnan(score) ? -kInfinity : std::round(score * 1e6);
            if (best_a < 0 || score > best) {
              best = score;
              best_a = a;
              best_b = b;
            }
          }
        }
        joins[best_a] = best_b;
      }
      const int first = static_cast<int>(matched.old_rows.size());
      std::vector<int> order;
      for (int row = 0; row < segment.tokens; ++row) order.push_back(row);
      if (segment.merges > 0) {
        std::ranges::stable_sort(order, {}, [&](int row) { return row < prefix ? -1 : row % 2; });
      }
      std::vector<int> row_after(segment.tokens, -1);
      for (const int row : order) {
        if (joins[row] >= 0) continue;
        row_after[row] = static_cast<int>(matched.old_rows.size());
        matched.old_rows.push_back({offset + row});
      }
      for (int row = 0; row < segment.tokens; ++row) {
        if (joins[row] < 0) continue;
        row_after[row] = row_after[joins[row]];
        matched.old_rows[row_after[row]].push_back(offset + row);
      }
      EXPECT_EQ(static_cast<int>(matched.old_rows.size()) - first, segment.tokens - segment.merges);
      matched.row_after.insert(matched.row_after.end(), row_after.begin(), row_after.end());
    }
    return matched;
  }

  std::vector<double> Metric(int row) const {
    std::vector<double> mean(head_size);
    for (int head = 0; head < heads; ++head) {
      for (int i = 0; i < head_size; ++i) {
        mean[i] += keys[(static_cast<size_t>(row) * heads + head) * head_size + i] / double(heads);
      }
    }
    const double norm = std::sqrt(std::inner_product(mean.begin(), mean.end(), mean.begin(), 0.0));
    for (double& value : mean) value = norm == 0 ? 0 : value / norm;
    return mean;
  }
};

Case RandomCase(ElementType type, const std::vector<std::pair<int, int>>& images, int prefix,
                int heads, int head_size, uint32_t seed) {
  const std::vector<Segment> segments = Segments(images);
  const size_t rows = static_cast<size_t>(segments.back().offset) + segments.back().tokens;
  return {segments, prefix, heads, head_size,
          Elements(type, RandomValues(rows * heads * head_size, seed))};
}

// Keys that are a direction, its opposite, zero or no number: their products are exact.
Case TiesCase(ElementType type, int tokens, int merges, int prefix, uint32_t seed) {
  std::vector<float> keys;
  for (const float value : RandomValues(tokens, seed)) {
    const float values[] = {1.0f, 1.0f, -1.0f, 0.0f, kNan};
    keys.push_back(values[static_cast<int>((value + 1.0f) * 2.499f)]);
    keys.push_back(0.0f);
  }
  return {Segments({{tokens, merges}}), prefix, 1, 2, Elements(type, keys)};
}

class TokenMatchTest : public KernelTest {};

TEST_P(TokenMatchTest, ChoosesWhatTheDefinitionChooses) {
  for (const int head_size : {1, 8, 32, 64, 72}) {
    const Case match = RandomCase(type(), {{45, 9}}, 1, 3, head_size, head_size);

    EXPECT_EQ(match.Run(type(), serial()), match.Reference()) << "head size " << head_size;
  }
}

TEST_P(TokenMatchTest, ChoosesWhatTheDefinitionChoosesAmongTies) {
  for (int tokens = 1; tokens <= 40; ++tokens) {
    for (int prefix = 0; prefix <= std::min(tokens, 5); ++prefix) {
      for (const int merges : {1, MaxMerges(tokens, prefix)}) {
        if (merges > MaxMerges(tokens, prefix)) continue;
        const Case match = TiesCase(type(), tokens, merges, prefix, tokens);

        ASSERT_EQ(match.Run(type(), serial()), match.Reference())
            << tokens << " tokens, " << prefix << " prefix, " << merges << " merges, keys "
            << testing::PrintToString(match.keys.values());
      }
    }
  }
}

TEST_P(TokenMatchTest, TreatsEachImageOfABatchByItself) {
  const Case match =
      RandomCase(type(), {{197, 16}, {1, 0}, {33, 16}, {20, 0}, {577, 8}}, 1, 2, 16, 5);

  EXPECT_EQ(match.Run(type(), serial()), match.Reference());
  EXPECT_EQ(match.Run(type(), threaded()), match.Reference());
}

TEST_P(TokenMatchTest, HandlesAThousandTokens) {
  const Case match = RandomCase(type(), {{1374, 20}}, 5, 1, 16, 7);

  EXPECT_EQ(match.Run(type(), threaded()), match.Reference());
}

TEST_P(TokenMatchTest, GivesEqualTokensToTheLowestRows) {
  const Case match = {Segments({{7, 2}}), 1, 1, 1, Elements(type(), std::vector<float>(7, 1.0f))};

  const Matched matched = match.Run(type(), serial());

  // Row 0 is the class token; rows 2 and 4 join row 1.
  EXPECT_THAT(matched.old_rows, ElementsAre(ElementsAre(0), ElementsAre(6), ElementsAre(1, 2, 4),
                                            ElementsAre(3), ElementsAre(5)));
  EXPECT_THAT(matched.row_after, ElementsAre(0, 2, 2, 3, 2, 4, 1));
}

TEST_P(TokenMatchTest, LeavesAnImageThatMergesNothingInItsOrder) {
  const Case match = RandomCase(type(), {{5, 0}, {6, 1}}, 1, 1, 8, 3);

  const Matched matched = match.Run(type(), serial());

  for (int row = 0; row < 5; ++row) EXPECT_THAT(matched.old_rows[row], ElementsAre(row));
}

TOME_INSTANTIATE_KERNEL_TEST(TokenMatchTest);

}  // namespace
}  // namespace tome::kernels::cpu
