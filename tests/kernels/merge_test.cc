// Matching and merging, against SelectMatch of server/model and plain sums.

#include <cmath>
#include <map>

#include "server/kernels/merge_tokens.h"
#include "server/kernels/token_match.h"
#include "server/model/token_match.h"
#include "tests/kernels/device.h"

namespace tome::kernels {
namespace {

constexpr float kEpsilon = 1e-6f;

struct Lists {
  std::vector<int> own_row, first_source, source_count, source_row, row_after;
};

// One merge of a batch: keys [T, heads, head_size] inside rows of `key_stride`.
struct Merge {
  int heads;
  int head_size;
  int prefix_tokens;
  std::vector<SegmentCounts> images;

  int width() const { return heads * head_size; }
  int tokens_in() const { return TotalTokens(Segments(images)); }
  int tokens_out() const { return TotalTokens(SegmentsAfter(images)); }
};

Lists RunMatch(ElementType type, const Merge& merge, const std::vector<float>& keys) {
  // As K lies in the product [T, 3 D]: behind Q.
  const int stride = 3 * merge.width();
  std::vector<float> rows(static_cast<size_t>(merge.tokens_in()) * stride, NAN);
  for (int row = 0; row < merge.tokens_in(); ++row) {
    std::copy_n(keys.begin() + static_cast<int64_t>(row) * merge.width(), merge.width(),
                rows.begin() + static_cast<int64_t>(row) * stride + merge.width());
  }
  const ElementArray device_rows(type, rows);
  const DeviceArray<Segment> segments(Segments(merge.images));
  const DeviceArray<Segment> segments_after(SegmentsAfter(merge.images));
  const DeviceArray<uint8_t> workspace(
      TokenMatchWorkspaceBytes(merge.tokens_in(), merge.head_size));
  const DeviceArray<int> own_row(merge.tokens_out());
  const DeviceArray<int> first_source(merge.tokens_out());
  const DeviceArray<int> source_count(merge.tokens_out());
  const DeviceArray<int> source_row(merge.tokens_in());
  const DeviceArray<int> row_after(merge.tokens_in());
  int max_tokens = 0;
  for (const SegmentCounts& image : merge.images) max_tokens = std::max(max_tokens, image.tokens);
  EXPECT_EQ(MatchTokens({.type = type,
                         .keys = static_cast<const uint8_t*>(device_rows.data()) +
                                 merge.width() * ElementBytes(type),
                         .key_stride = stride,
                         .heads = merge.heads,
                         .head_size = merge.head_size,
                         .segments = segments.data(),
                         .segments_after = segments_after.data(),
                         .images = static_cast<int>(merge.images.size()),
                         .max_tokens = max_tokens,
                         .packed_tokens = merge.tokens_in(),
                         .prefix_tokens = merge.prefix_tokens,
                         .workspace = workspace.data(),
                         .own_row = own_row.data(),
                         .first_source = first_source.data(),
                         .source_count = source_count.data(),
                         .source_row = source_row.data(),
                         .row_after = row_after.data()},
                        nullptr),
            cudaSuccess);
  workspace.Download();  // its guard bands
  return {own_row.Download(), first_source.Download(), source_count.Download(),
          source_row.Download(), row_after.Download()};
}

// Scores of one image in double: products of the heads' normalised mean keys.
std::vector<float> Scores(const Merge& merge, const std::vector<float>& keys,
                          const Segment& image) {
  std::vector<std::vector<double>> metric;
  for (int row = image.offset; row < image.offset + image.tokens; ++row) {
    std::vector<double> mean(merge.head_size);
    for (int i = 0; i < merge.width(); ++i) {
      mean[i % merge.head_size] += keys[static_cast<size_t>(row) * merge.width() + i] / merge.heads;
    }
    double norm = 0;
    for (const double value : mean) norm += value * value;
    for (double& value : mean) value /= norm == 0 ? 1 : std::sqrt(norm);
    metric.push_back(mean);
  }
  std::vector<float> scores;
  for (int a = 0; a < image.tokens; a += 2) {
    for (int b = 1; b < image.tokens; b += 2) {
      double score = 0;
      for (int i = 0; i < merge.head_size; ++i) score += metric[a][i] * metric[b][i];
      scores.push_back(static_cast<float>(score));
    }
  }
  return scores;
}

// The lists as the model's SelectMatch and RowsAfterMerge have them.
Lists ExpectedLists(const Merge& merge, const std::vector<float>& keys) {
  const std::vector<Segment> before = Segments(merge.images);
  const std::vector<Segment> after = SegmentsAfter(merge.images);
  Lists lists;
  lists.own_row.resize(merge.tokens_out());
  lists.source_count.resize(merge.tokens_out());
  lists.row_after.resize(merge.tokens_in());
  std::map<int, std::vector<int>> sources;  // by new row, ascending
  for (size_t i = 0; i < before.size(); ++i) {
    const Segment& image = before[i];
    const TokenMatch match =
        SelectMatch(Scores(merge, keys, image), image.tokens, merge.prefix_tokens, image.merges);
    std::vector<int> rows = RowsAfterMerge(match, image.tokens, merge.prefix_tokens);
    if (image.merges == 0) {
      for (int row = 0; row < image.tokens; ++row) rows[row] = row;
    }
    std::vector<bool> merged(image.tokens);
    for (const int a : match.source) merged[2 * a] = true;
    for (int row = 0; row < image.tokens; ++row) {
      const int new_row = after[i].offset + rows[row];
      lists.row_after[image.offset + row] = new_row;
      if (merged[row]) {
        ++lists.source_count[new_row];
        sources[new_row].push_back(image.offset + row);
      } else {
        lists.own_row[new_row] = image.offset + row;
      }
    }
  }
  for (const auto& [row, list] : sources) {
    lists.source_row.insert(lists.source_row.end(), list.begin(), list.end());
  }
  return lists;
}

// The sources of all new rows, in order of the rows.
std::vector<int> SourcesInOrder(const Lists& lists) {
  std::vector<int> sources;
  for (size_t row = 0; row < lists.own_row.size(); ++row) {
    for (int i = 0; i < lists.source_count[row]; ++i) {
      sources.push_back(lists.source_row.at(lists.first_source[row] + i));
    }
  }
  return sources;
}

void ExpectSameMatch(const Lists& lists, const Lists& expected) {
  EXPECT_EQ(lists.row_after, expected.row_after);
  EXPECT_EQ(lists.own_row, expected.own_row);
  EXPECT_EQ(lists.source_count, expected.source_count);
  EXPECT_EQ(SourcesInOrder(lists), expected.source_row);
}

class MatchTokensTest : public TypedKernelTest {};
TOME_FOR_EACH_ELEMENT_TYPE(MatchTokensTest);

TEST_P(MatchTokensTest, FindsThePairsThatTheModelFinds) {
  const std::vector<Merge> merges = {
      {12, 64, 1, {{197, 16}, {197, 98}, {41, 0}, {11, 5}}},  // r=0, r at the cap, mixed lengths
      {6, 64, 2, {{198, 13}, {3, 0}, {4, 1}}},                // class and distillation token
      {3, 72, 5, {{201, 30}, {7, 1}}},                        // registers
      {2, 80, 0, {{1, 0}, {2, 1}, {64, 32}}},                 // no prefix; one token
  };
  for (const Merge& merge : merges) {
    const auto keys =
        RandomValues(type(), static_cast<size_t>(merge.tokens_in()) * merge.width(), merge.heads);

    ExpectSameMatch(RunMatch(type(), merge, keys), ExpectedLists(merge, keys));
  }
}

TEST_P(MatchTokensTest, TakesEveryHeadSize) {
  for (const int head_size : {8, 32, 64, 72, 80, 88, 96, 104, 128}) {
    const Merge merge = {3, head_size, 1, {{40, 7}}};
    const auto keys =
        RandomValues(type(), static_cast<size_t>(merge.tokens_in()) * merge.width(), head_size);

    ExpectSameMatch(RunMatch(type(), merge, keys), ExpectedLists(merge, keys));
  }
}

TEST_P(MatchTokensTest, TakesManyTokens) {
  const Merge merge = {1, 64, 1, {{577, 40}, {1374, 120}}};
  const auto keys = RandomValues(type(), static_cast<size_t>(merge.tokens_in()) * merge.width(), 3);

  ExpectSameMatch(RunMatch(type(), merge, keys), ExpectedLists(merge, keys));
}

TEST_P(MatchTokensTest, GivesTiesToTheLowestIndex) {
  // A flat image: every patch token has the same keys.
  const Merge merge = {2, 64, 1, {{101, 20}}};
  const auto token = RandomValues(type(), merge.width(), 9);
  std::vector<float> keys;
  for (int i = 0; i < merge.tokens_in(); ++i) keys.insert(keys.end(), token.begin(), token.end());

  const Lists lists = RunMatch(type(), merge, keys);

  // The first 20 unprotected A (rows 2, 4, ..) all join the first B (row 1), now row 1 + 30.
  std::vector<int> expected_sources;
  for (int i = 0; i < 20; ++i) expected_sources.push_back(2 + 2 * i);
  EXPECT_EQ(SourcesInOrder(lists), expected_sources);
  EXPECT_EQ(lists.source_count[31], 20);
  EXPECT_EQ(lists.own_row[31], 1);
}

TEST_P(MatchTokensTest, CountsNanAsTheLowestScoreAndAZeroVectorAsZero) {
  const Merge merge = {1, 32, 1, {{24, 6}, {24, 11}, {24, 3}}};
  auto keys = RandomValues(type(), static_cast<size_t>(merge.tokens_in()) * merge.width(), 10);
  const auto fill = [&](int row, float value) {
    std::fill_n(keys.begin() + row * merge.width(), merge.width(), value);
  };
  fill(4, NAN);                                        // an A
  fill(7, NAN);                                        // a B
  fill(9, 0);                                          // a B
  fill(10, 0);                                         // an A
  for (int row = 24; row < 48; ++row) fill(row, NAN);  // an image of nothing else

  ExpectSameMatch(RunMatch(type(), merge, keys), ExpectedLists(merge, keys));
}

TEST_P(MatchTokensTest, FindsTheSamePairsWhateverTheBatchMates) {
  const SegmentCounts image = {197, 60};
  const Merge alone = {4, 64, 1, {image}};
  const Merge mixed = {4, 64, 1, {{50, 3}, image, {577, 0}, image}};
  const auto keys = RandomValues(type(), size_t{197} * 256, 11);
  auto mixed_keys = RandomValues(type(), size_t{50 + 197 + 577 + 197} * 256, 12);
  std::copy(keys.begin(), keys.end(), mixed_keys.begin() + 50 * 256);
  std::copy(keys.begin(), keys.end(), mixed_keys.begin() + (50 + 197 + 577) * 256);

  const std::vector<int> by_itself = RunMatch(type(), alone, keys).row_after;
  const std::vector<int> rows = RunMatch(type(), mixed, mixed_keys).row_after;

  for (int row = 0; row < 197; ++row) {
    ASSERT_EQ(rows[50 + row] - 47, by_itself[row]) << row;
    ASSERT_EQ(rows[50 + 197 + 577 + row] - (47 + 137 + 577), by_itself[row]) << row;
  }
}

TEST(MatchTokensArgsTest, RefusesHeadSizesItCannotHold) {
  for (const int head_size : {0, 20, 136}) {
    EXPECT_EQ(MatchTokens({.heads = 1, .head_size = head_size}, nullptr), cudaErrorInvalidValue)
        << head_size;
  }
}

struct Merged {
  std::vector<float> x, size, log_size, normed;
  std::vector<uint8_t> x_bits;
};

class MergeTokensTest : public TypedKernelTest {
 protected:
  // Seven old rows to four new ones: row 0 stays, 3 receives nothing, 1 receives 2 and 4, 5
  // receives 6.
  Lists lists_ = {.own_row = {0, 1, 3, 5},
                  .first_source = {0, 0, 0, 2},
                  .source_count = {0, 2, 0, 1},
                  .source_row = {2, 4, 6, -1, -1, -1, -1},
                  .row_after = {}};
  std::vector<float> weight_;
  std::vector<float> bias_;

  Merged Run(const std::vector<float>& x, const std::vector<float>& size, int width) {
    weight_ = RandomValues(ElementType::kFloat32, width, 1);
    bias_ = RandomValues(ElementType::kFloat32, width, 2);
    const ElementArray device_x(type(), x);
    const DeviceArray<float> device_size(size);
    const DeviceArray<int> own_row(lists_.own_row);
    const DeviceArray<int> first_source(lists_.first_source);
    const DeviceArray<int> source_count(lists_.source_count);
    const DeviceArray<int> source_row(lists_.source_row);
    const DeviceArray<float> weight(weight_);
    const DeviceArray<float> bias(bias_);
    const size_t rows = lists_.own_row.size();
    const ElementArray x_out(type(), rows * width);
    const DeviceArray<float> size_out(rows);
    const DeviceArray<float> log_size_out(rows);
    const ElementArray normed(type(), rows * width);
    EXPECT_EQ(MergeTokens({.type = type(),
                           .x = device_x.data(),
                           .size = size.empty() ? nullptr : device_size.data(),
                           .own_row = own_row.data(),
                           .first_source = first_source.data(),
                           .source_count = source_count.data(),
                           .source_row = source_row.data(),
                           .norm_weight = weight.data(),
                           .norm_bias = bias.data(),
                           .epsilon = kEpsilon,
                           .x_out = x_out.data(),
                           .size_out = size_out.data(),
                           .log_size_out = log_size_out.data(),
                           .normed = normed.data(),
                           .rows_out = static_cast<int>(rows),
                           .width = width},
                          nullptr),
              cudaSuccess);
    return {x_out.Download(), size_out.Download(), log_size_out.Download(), normed.Download(),
            x_out.DownloadBits()};
  }

  // The size-weighted means in double.
  std::vector<double> Expected(const std::vector<float>& x, const std::vector<float>& size,
                               int width) const {
    std::vector<double> out;
    for (size_t row = 0; row < lists_.own_row.size(); ++row) {
      std::vector<int> parts = {lists_.own_row[row]};
      for (int i = 0; i < lists_.source_count[row]; ++i) {
        parts.push_back(lists_.source_row[lists_.first_source[row] + i]);
      }
      double total = 0;
      for (const int part : parts) total += size[part];
      for (int i = 0; i < width; ++i) {
        double sum = 0;
        for (const int part : parts) sum += static_cast<double>(size[part]) * x[part * width + i];
        out.push_back(sum / total);
      }
    }
    return out;
  }
};
TOME_FOR_EACH_ELEMENT_TYPE(MergeTokensTest);

TEST_P(MergeTokensTest, TakesTheSizeWeightedMeanAndNormalisesIt) {
  const std::vector<float> size = {1, 2, 3, 4, 1, 7, 1};
  for (const int width : {64, 768, 1152}) {
    const std::vector<float> x = RandomValues(type(), size_t{7} * width, width);

    const Merged merged = Run(x, size, width);

    EXPECT_TRUE(AllNear(merged.x, Expected(x, size, width), Tolerance(type()))) << width;
    EXPECT_EQ(merged.size, std::vector<float>({1, 6, 4, 8}));
    EXPECT_TRUE(AllNear(merged.log_size, {0, std::log(6.0), std::log(4.0), std::log(8.0)}, 1e-6));
    // The norm sees what was stored.
    EXPECT_TRUE(AllNear(merged.normed,
                        ReferenceLayerNorm(ToDouble(merged.x), weight_, bias_, kEpsilon),
                        Tolerance(type())))
        << width;
  }
}

TEST_P(MergeTokensTest, CountsEveryTokenOnceWithoutSizes) {
  const std::vector<float> x = RandomValues(type(), size_t{7} * 128, 3);

  const Merged merged = Run(x, {}, 128);

  EXPECT_TRUE(AllNear(merged.x, Expected(x, std::vector<float>(7, 1), 128), Tolerance(type())));
  EXPECT_EQ(merged.size, std::vector<float>({1, 3, 1, 2}));
}

TEST_P(MergeTokensTest, LeavesTheBitsOfRowsThatReceiveNothing) {
  std::vector<float> x = RandomValues(type(), size_t{7} * 64, 4, 1e-3f);
  x[3] = INFINITY;
  x[4] = -0.0f;

  const Merged merged = Run(x, {1.0f / 3, 1, 1, 0.7f, 1, 1, 1}, 64);

  const std::vector<uint8_t> before = ElementArray(type(), x).DownloadBits();
  const size_t bytes = 64 * ElementBytes(type());
  EXPECT_TRUE(std::equal(before.begin(), before.begin() + bytes, merged.x_bits.begin()));
  EXPECT_TRUE(std::equal(before.begin() + 3 * bytes, before.begin() + 4 * bytes,
                         merged.x_bits.begin() + 2 * bytes));
}

TEST_P(MergeTokensTest, SpoilsWithANanTheRowItJoinsAlone) {
  std::vector<float> x = RandomValues(type(), size_t{7} * 64, 5);
  x[4 * 64 + 1] = NAN;

  const Merged merged = Run(x, std::vector<float>(7, 1), 64);

  for (int row = 0; row < 4; ++row) {
    EXPECT_EQ(std::isnan(merged.x[row * 64 + 1]), row == 1) << row;
    EXPECT_EQ(std::isnan(merged.normed[row * 64]), row == 1) << row;
  }
}

}  // namespace
}  // namespace tome::kernels
