#include "server/kernels/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/kernels/cpu/kernel_test.h"

namespace tome::kernels::cpu {
namespace {

// One call's numbers: queries, keys and values side by side, as a linear layer leaves them.
struct Case {
  Case(ElementType case_type, const std::vector<int>& tokens, int case_heads, int case_head_size,
       uint32_t seed = 1)
      : type(case_type),
        heads(case_heads),
        head_size(case_head_size),
        dim(heads * head_size),
        rows(std::accumulate(tokens.begin(), tokens.end(), 0)),
        qkv(type, RandomValues(static_cast<size_t>(rows) * 3 * dim, seed)) {
    std::vector<std::pair<int, int>> images;
    for (const int count : tokens) images.emplace_back(count, 0);
    segments = Segments(images);
    for (int row = 0; row < rows; ++row) log_size.push_back(std::log(1.0f + row % 5));
  }

  AttentionArgs Args() const {
    return {.type = type,
            .q = qkv.at(0),
            .k = qkv.at(dim),
            .v = qkv.at(2 * dim),
            .q_stride = 3 * dim,
            .k_stride = 3 * dim,
            .v_stride = 3 * dim,
            .segments = segments,
            .log_size = log_size.data(),
            .heads = heads,
            .head_size = head_size,
            .scale = 2.0f / std::sqrt(static_cast<float>(head_size))};
  }

  Elements Run(AttentionArgs args, const Compute& compute) const {
    const int out_rows =
        args.query_rows > 0 ? args.query_rows * static_cast<int>(args.segments.size()) : rows;
    int longest = 0;
    for (const Segment& segment : args.segments) longest = std::max(longest, segment.tokens);
    const Scratch scratch(AttentionScratchBytes(longest, head_size, compute.parallel.workers()));
    Elements out(type, static_cast<size_t>(out_rows) * dim);
    args.out = out.data();
    args.scratch = scratch.data();
    Attention(args, compute);
    return out;
  }

  float Q(int row, int column) const { return qkv[static_cast<size_t>(row) * 3 * dim + column]; }
  float K(int row, int column) const { return Q(row, dim + column); }
  float V(int row, int column) const { return Q(row, 2 * dim + column); }

  // The formula, for one query among one image's tokens.
  std::vector<double> Reference(int row, const Segment& segment, double scale) const {
    std::vector<double> result(dim);
    for (int head = 0; head < heads; ++head) {
      std::vector<double> weights;
      for (int key = segment.offset; key < segment.offset + segment.tokens; ++key) {
        double logit = log_size[key];
        for (int i = head * head_size; i < (head + 1) * head_size; ++i) {
          logit += scale * Q(row, i) * K(key, i);
        }
        weights.push_back(logit);
      }
      const double max = *std::ranges::max_element(weights);
      double total = 0;
      for (double& weight : weights) total += weight = std::exp(weight - max);
      for (int key = 0; key < segment.tokens; ++key) {
        for (int i = head * head_size; i < (head + 1) * head_size; ++i) {
          result[i] += weights[key] / total * V(segment.offset + key, i);
        }
      }
    }
    return result;
  }

  void ExpectReference(const Elements& out, double scale) const {
    double worst = 0;
    for (const Segment& segment : segments) {
      for (int row = segment.offset; row < segment.offset + segment.tokens; ++row) {
        const std::vector<double> expected = Reference(row, segment, scale);
        for (int i = 0; i < dim; ++i) {
          const double off = std::abs(out[static_cast<size_t>(row) * dim + i] - expected[i]);
          worst = std::isnan(off) ? off : std::max(worst, off);
        }
      }
    }
    EXPECT_LE(worst, Tolerance(type));
  }

  ElementType type;
  int heads;
  int head_size;
  int dim;
  int rows;
  std::vector<Segment> segments;
  std::vector<float> log_size;
  Elements qkv;
};

class AttentionTest : public KernelTest {};

TEST_P(AttentionTest, IsTheFormulaForEveryHeadSize) {
  for (const int head_size : {1, 3, 8, 15, 16, 32, 48, 64, 72, 80, 88, 96, 128}) {
    SCOPED_TRACE(head_size);
    const Case attention(type(), {19, 1}, 2, head_size);

    attention.ExpectReference(attention.Run(attention.Args(), serial()), attention.Args().scale);
  }
}

TEST_P(AttentionTest, IsTheFormulaForEveryNumberOfTokensUpToTwoVectors) {
  for (int tokens = 1; tokens <= 33; ++tokens) {
    SCOPED_TRACE(tokens);
    const Case attention(type(), {tokens}, 1, 24);

    attention.ExpectReference(attention.Run(attention.Args(), serial()), attention.Args().scale);
  }
}

TEST_P(AttentionTest, IsTheFormulaForImagesOfMixedLength) {
  const Case attention(type(), {1, 197, 10, 577, 2}, 1, 16);

  attention.ExpectReference(attention.Run(attention.Args(), threaded()), attention.Args().scale);
}

TEST_P(AttentionTest, IsTheFormulaForAThousandTokens) {
  const Case attention(type(), {1374}, 1, 8);

  attention.ExpectReference(attention.Run(attention.Args(), threaded()), attention.Args().scale);
}

TEST_P(AttentionTest, CountsEveryTokenOnceWithoutSizes) {
  Case attention(type(), {9, 20}, 2, 8);
  AttentionArgs args = attention.Args();
  args.log_size = nullptr;

  const Elements out = attention.Run(args, serial());

  std::ranges::fill(attention.log_size, 0.0f);
  attention.ExpectReference(out, args.scale);
}

TEST_P(AttentionTest, GivesARowTheSameBitsAloneInABatchAndOnAnyThread) {
  const Case attention(type(), {50, 197, 23}, 3, 32);
  const size_t row_size = attention.dim;

  const Elements batch = attention.Run(attention.Args(), serial());
  const Elements threads = attention.Run(attention.Args(), threaded());

  EXPECT_EQ(batch, threads);
  AttentionArgs alone = attention.Args();
  alone.segments = std::span(attention.segments).subspan(1, 1);
  const Elements second = attention.Run(alone, serial());
  for (size_t i = 50 * row_size; i < 247 * row_size; ++i) ASSERT_EQ(second[i], batch[i]) << i;
}

TEST_P(AttentionTest, GivesTheFirstRowsTheBitsTheyHaveAmongAll) {
  for (const int query_rows : {1, 2, 5}) {
    const Case attention(type(), {5, 197, 40}, 2, 64);
    const Elements all = attention.Run(attention.Args(), serial());
    std::vector<float> gathered;
    for (const Segment& segment : attention.segments) {
      for (int row = segment.offset; row < segment.offset + query_rows; ++row) {
        for (int i = 0; i < attention.dim; ++i) gathered.push_back(attention.Q(row, i));
      }
    }
    const Elements q(type(), gathered);

    AttentionArgs args = attention.Args();
    args.q = q.at(0);
    args.q_stride = attention.dim;
    args.query_rows = query_rows;
    const Elements first = attention.Run(args, threaded());

    size_t next = 0;
    for (const Segment& segment : attention.segments) {
      const size_t begin = static_cast<size_t>(segment.offset) * attention.dim;
      for (int i = 0; i < query_rows * attention.dim; ++i) {
        ASSERT_EQ(first[next++], all[begin + i]) << "query rows " << query_rows;
      }
    }
  }
}

TEST_P(AttentionTest, LetsOneQueryAskEveryImage) {
  const Case attention(type(), {7, 33}, 2, 16);
  AttentionArgs args = attention.Args();
  args.q_stride = 0;
  args.query_rows = 1;

  const Elements out = attention.Run(args, serial());

  for (int image = 0; image < 2; ++image) {
    const std::vector<double> expected =
        attention.Reference(0, attention.segments[image], args.scale);
    for (int i = 0; i < attention.dim; ++i) {
      EXPECT_NEAR(out[image * attention.dim + i], expected[i], Tolerance(type()));
    }
  }
}

TEST_P(AttentionTest, DoesNotOverflowOnLargeLogits) {
  const Case attention(type(), {40}, 1, 8);
  AttentionArgs args = attention.Args();
  args.scale = 1e4f;

  const Elements out = attention.Run(args, serial());

  for (const float value : out.values()) EXPECT_LE(std::abs(value), 1.01f);
}

TEST_P(AttentionTest, KeepsNanWithinItsImage) {
  Case attention(type(), {17, 17}, 1, 8);
  std::vector<float> values = attention.qkv.values();
  values[3 * 3 * attention.dim + attention.dim] = std::numeric_limits<float>::quiet_NaN();
  attention.qkv = Elements(type(), values);

  const Elements out = attention.Run(attention.Args(), serial());

  for (int i = 0; i < 17 * 8; ++i) EXPECT_TRUE(std::isnan(out[i]));
  for (int i = 17 * 8; i < 34 * 8; ++i) EXPECT_TRUE(std::isfinite(out[i]));
}

TOME_INSTANTIATE_KERNEL_TEST(AttentionTest);

}  // namespace
}  // namespace tome::kernels::cpu
