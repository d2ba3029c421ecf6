#include "server/kernels/attention.h"

#include <cmath>

#include "server/kernels/attention_plan.h"
#include "tests/kernels/device.h"

namespace tome::kernels {
namespace {

constexpr AttentionDevice kHopper = {.multiprocessors = 132, .shared_bytes_per_block = 227 * 1024};
constexpr AttentionDevice kAmpere = {.multiprocessors = 108, .shared_bytes_per_block = 163 * 1024};
// Nothing but tiles fits.
constexpr AttentionDevice kTiny = {.multiprocessors = 1, .shared_bytes_per_block = 48 * 1024};

// A batch whose q, k and v lie in one product [T, 3 D].
struct Batch {
  int heads;
  int head_size;
  std::vector<int> tokens;
  Queries queries = Queries::kAllRows;
  int query_rows = 0;
  bool with_sizes = false;

  int width() const { return heads * head_size; }
  std::vector<Segment> segments() const {
    std::vector<SegmentCounts> counts;
    for (const int count : tokens) counts.push_back({count, 0});
    return Segments(counts);
  }
  int rows() const { return TotalTokens(segments()); }
  int out_rows() const {
    return queries == Queries::kAllRows ? rows() : static_cast<int>(tokens.size()) * query_rows;
  }
};

class AttentionTest : public TypedKernelTest {
 protected:
  // With kShared `shared` holds the queries; `device` null: cut for the one that runs it.
  std::vector<float> Run(const Batch& batch, const std::vector<float>& qkv,
                         const std::vector<float>& log_size = {},
                         const std::vector<float>& shared = {},
                         const AttentionDevice* device = nullptr) {
    const ElementArray product(type(), qkv);
    const ElementArray shared_queries(type(), shared);
    const DeviceArray<float> sizes(log_size);
    const DeviceArray<Segment> segments(batch.segments());
    const ElementArray out(type(), static_cast<size_t>(batch.out_rows()) * batch.width());
    const auto* rows = static_cast<const uint8_t*>(product.data());
    const size_t third = batch.width() * ElementBytes(type());
    const bool is_shared = batch.queries == Queries::kShared;
    const AttentionArgs args = {
        .type = type(),
        .q = is_shared ? shared_queries.data() : rows,
        .k = rows + third,
        .v = rows + 2 * third,
        .q_stride = is_shared ? batch.width() : 3 * batch.width(),
        .k_stride = 3 * batch.width(),
        .v_stride = 3 * batch.width(),
        .segments = segments.data(),
        .log_size = log_size.empty() ? nullptr : sizes.data(),
        .out = out.data(),
        .queries = batch.queries,
        .query_rows = batch.query_rows,
        .images = static_cast<int>(batch.tokens.size()),
        .max_tokens = *std::max_element(batch.tokens.begin(), batch.tokens.end()),
        .heads = batch.heads,
        .head_size = batch.head_size,
        .scale = Scale(batch)};
    const cudaError_t error = device == nullptr
                                  ? Attention(args, nullptr)
                                  : Attention(args, PlanAttention(args, *device), nullptr);
    EXPECT_EQ(error, cudaSuccess);
    return out.Download();
  }

  static float Scale(const Batch& batch) {
    return 1 / std::sqrt(static_cast<float>(batch.head_size));
  }

  // In double, one softmax a query.
  std::vector<double> Expected(const Batch& batch, const std::vector<float>& qkv,
                               const std::vector<float>& log_size = {},
                               const std::vector<float>& shared = {}) {
    const int width = batch.width();
    std::vector<double> out;
    for (const Segment& image : batch.segments()) {
      const int queries = batch.queries == Queries::kAllRows ? image.tokens : batch.query_rows;
      for (int query = 0; query < queries; ++query) {
        const float* q = batch.queries == Queries::kShared
                             ? &shared[static_cast<size_t>(query) * width]
                             : &qkv[static_cast<size_t>(image.offset + query) * 3 * width];
        for (int head = 0; head < batch.heads; ++head) {
          const std::vector<double> values = OneQuery(batch, qkv, log_size, image, q, head);
          out.insert(out.end(), values.begin(), values.end());
        }
      }
    }
    return out;
  }

  std::vector<float> Qkv(const Batch& batch, unsigned seed) {
    return RandomValues(type(), static_cast<size_t>(batch.rows()) * 3 * batch.width(), seed);
  }
  std::vector<float> LogSizes(const Batch& batch) {
    std::vector<float> log_size(batch.rows());
    for (size_t i = 0; i < log_size.size(); ++i) {
      log_size[i] = std::log(static_cast<float>(1 + i * 5 % 9));
    }
    return log_size;
  }

 private:
  static std::vector<double> OneQuery(const Batch& batch, const std::vector<float>& qkv,
                                      const std::vector<float>& log_size, const Segment& image,
                                      const float* q, int head) {
    const int width = batch.width();
    std::vector<double> logits(image.tokens);
    double highest = -INFINITY;
    for (int key = 0; key < image.tokens; ++key) {
      const float* k = &qkv[(static_cast<size_t>(image.offset + key) * 3 + 1) * width];
      for (int i = head * batch.head_size; i < (head + 1) * batch.head_size; ++i) {
        logits[key] += static_cast<double>(q[i]) * k[i];
      }
      logits[key] = logits[key] * Scale(batch) +
                    (log_size.empty() ? 0 : static_cast<double>(log_size[image.offset + key]));
      highest = std::isnan(logits[key]) ? logits[key] : std::max(highest, logits[key]);
    }
    std::vector<double> out(batch.head_size);
    double total = 0;
    for (int key = 0; key < image.tokens; ++key) {
      const double weight = std::exp(logits[key] - highest);
      total += weight;
      const float* v = &qkv[(static_cast<size_t>(image.offset + key) * 3 + 2) * width];
      for (int i = 0; i < batch.head_size; ++i) out[i] += weight * v[head * batch.head_size + i];
    }
    for (double& value : out) value /= total;
    return out;
  }
};
TOME_FOR_EACH_ELEMENT_TYPE(AttentionTest);

TEST_P(AttentionTest, IsTheSoftmaxOfEachImageByItself) {
  const Batch batch = {2, 64, {197, 1, 64, 130, 11}};
  const std::vector<float> qkv = Qkv(batch, 1);

  EXPECT_TRUE(AllNear(Run(batch, qkv), Expected(batch, qkv), Tolerance(type())));
}

TEST_P(AttentionTest, TakesEveryHeadSize) {
  for (const int head_size : {8, 32, 40, 64, 72, 80, 88, 96, 104, 112, 120, 128}) {
    const Batch batch = {2, head_size, {37, 81}};
    const std::vector<float> qkv = Qkv(batch, head_size);

    EXPECT_TRUE(AllNear(Run(batch, qkv), Expected(batch, qkv), Tolerance(type())))
        << "head size " << head_size;
  }
}

TEST_P(AttentionTest, AddsTheLogarithmOfEachKeysSize) {
  const Batch batch = {3, 64, {50, 101}};
  const std::vector<float> qkv = Qkv(batch, 2);
  const std::vector<float> log_size = LogSizes(batch);

  EXPECT_TRUE(
      AllNear(Run(batch, qkv, log_size), Expected(batch, qkv, log_size), Tolerance(type())));
}

TEST_P(AttentionTest, GivesSizesOfOneTheSameBitsAsNone) {
  const Batch batch = {2, 64, {50, 101}};
  const std::vector<float> qkv = Qkv(batch, 12);

  EXPECT_EQ(Run(batch, qkv, std::vector<float>(batch.rows(), 0)), Run(batch, qkv));
}

TEST_P(AttentionTest, TakesManyTokens) {
  const Batch batch = {1, 64, {577, 1374}, Queries::kFirstRows, 33};
  const std::vector<float> qkv = Qkv(batch, 3);

  EXPECT_TRUE(AllNear(Run(batch, qkv), Expected(batch, qkv), Tolerance(type())));
}

TEST_P(AttentionTest, AsksForTheFirstRowsAlone) {
  const Batch batch = {2, 72, {50, 3, 197}, Queries::kFirstRows, 2};
  const std::vector<float> qkv = Qkv(batch, 4);
  const std::vector<float> log_size = LogSizes(batch);

  EXPECT_TRUE(
      AllNear(Run(batch, qkv, log_size), Expected(batch, qkv, log_size), Tolerance(type())));
}

TEST_P(AttentionTest, SharesOneQueryAmongAllImages) {
  const Batch batch = {2, 72, {50, 3, 197}, Queries::kShared, 1};
  const std::vector<float> qkv = Qkv(batch, 5);
  const std::vector<float> query = RandomValues(type(), batch.width(), 6);
  const std::vector<float> log_size = LogSizes(batch);

  EXPECT_TRUE(AllNear(Run(batch, qkv, log_size, query), Expected(batch, qkv, log_size, query),
                      Tolerance(type())));
}

TEST_P(AttentionTest, SurvivesLogitsFarApart) {
  const Batch batch = {1, 64, {100}};
  std::vector<float> qkv = Qkv(batch, 7);
  for (size_t i = 0; i < qkv.size(); ++i) {
    if (i / 64 % 3 < 2) qkv[i] *= 12;  // q and k: logits of some hundreds
  }
  qkv = Rounded(type(), qkv);

  // A float32 logit of some hundreds is itself off by 1e-5 and more.
  EXPECT_TRUE(
      AllNear(Run(batch, qkv), Expected(batch, qkv), std::max(1e-3, 4 * Tolerance(type()))));
}

TEST_P(AttentionTest, SpoilsNoOtherImageWithANan) {
  const Batch batch = {1, 64, {40, 30}};
  std::vector<float> qkv = Qkv(batch, 8);
  qkv[5 * 3 * 64 + 64] = NAN;  // a key of the first image

  const std::vector<float> out = Run(batch, qkv);

  for (int i = 0; i < 40 * 64; ++i) ASSERT_TRUE(std::isnan(out[i])) << i;
  const std::vector<double> expected = Expected(batch, qkv);
  EXPECT_TRUE(AllNear({out.begin() + 40 * 64, out.end()},
                      {expected.begin() + 40 * 64, expected.end()}, Tolerance(type())));
}

TEST_P(AttentionTest, GivesAnImageTheSameBitsWhateverItsBatchMatesAndTheGpu) {
  const int tokens = 150;
  const Batch alone = {2, 64, {tokens}};
  const std::vector<float> qkv = Qkv(alone, 9);
  const std::vector<float> by_itself = Run(alone, qkv);
  const Batch mixed = {2, 64, {7, tokens, 400, tokens}};
  std::vector<float> mixed_qkv = Qkv(mixed, 10);
  for (const int place : {7, 7 + tokens + 400}) {
    std::copy(qkv.begin(), qkv.end(), mixed_qkv.begin() + place * 3 * mixed.width());
  }

  // Resident and tiled, one block an image and several.
  for (const AttentionDevice& device : {kHopper, kAmpere, kTiny}) {
    const std::vector<float> out = Run(mixed, mixed_qkv, {}, {}, &device);

    for (const int place : {7, 7 + tokens + 400}) {
      const auto first = out.begin() + place * mixed.width();
      EXPECT_TRUE(std::equal(by_itself.begin(), by_itself.end(), first))
          << "at row " << place << " with " << device.shared_bytes_per_block << " bytes";
    }
  }
}

TEST_P(AttentionTest, GivesTheFirstRowsTheSameBitsWhenTheyAskAlone) {
  const Batch all = {2, 64, {70}};
  const std::vector<float> qkv = Qkv(all, 11);
  const Batch first = {2, 64, {70}, Queries::kFirstRows, 3};

  std::vector<float> expected = Run(all, qkv);
  expected.resize(size_t{3} * all.width());

  EXPECT_EQ(Run(first, qkv), expected);
}

class AttentionPlanTest : public testing::Test {
 protected:
  static AttentionArgs Args(int images, int tokens, int heads, int head_size) {
    return {.type = ElementType::kBFloat16,
            .images = images,
            .max_tokens = tokens,
            .heads = heads,
            .head_size = head_size};
  }
};

TEST_F(AttentionPlanTest, KeepsAHeadsKeysAndValuesWhereTwoBlocksFit) {
  // ViT-L/16 at 224.
  const AttentionPlan plan = PlanAttention(Args(64, 197, 16, 64), kHopper);
  EXPECT_TRUE(plan.resident);
  EXPECT_EQ(plan.query_blocks, 1);
  EXPECT_EQ(plan.queries_per_block, 13 * 16);
  EXPECT_EQ(plan.shared_bytes, 208u * (2 * 72 * 2 + 4));
  // DINOv2 at 518: 342 KiB.
  EXPECT_FALSE(PlanAttention(Args(64, 1374, 16, 64), kHopper).resident);
}

TEST_F(AttentionPlanTest, AsksForNoMoreSharedMemoryThanTheGpuHas) {
  for (const AttentionDevice& device : {kHopper, kAmpere, kTiny}) {
    for (const int tokens : {1, 197, 577, 1374, 5000}) {
      for (const int head_size : {32, 64, 80}) {
        const AttentionPlan plan = PlanAttention(Args(8, tokens, 12, head_size), device);
        EXPECT_LE(plan.shared_bytes, device.shared_bytes_per_block)
            << tokens << " tokens, head size " << head_size;
        EXPECT_GE(plan.query_blocks * plan.queries_per_block, tokens);
      }
    }
  }
}

TEST_F(AttentionPlanTest, SharesOutTheQueriesOfFewImages) {
  const AttentionPlan plan = PlanAttention(Args(1, 197, 12, 64), kHopper);
  EXPECT_EQ(plan.query_blocks, 4);
}

TEST_F(AttentionPlanTest, IsRefusedForHeadSizesNoKernelHas) {
  for (const int head_size : {0, 20, 136}) {
    AttentionArgs args = Args(1, 4, 1, head_size);
    args.q_stride = args.k_stride = args.v_stride = 64;
    EXPECT_EQ(Attention(args, nullptr), cudaErrorInvalidValue) << head_size;
  }
}

}  // namespace
}  // namespace tome::kernels
