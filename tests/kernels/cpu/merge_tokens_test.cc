#include "server/kernels/cpu/merge_tokens.h"

#include <cmath>

#include "tests/kernels/cpu/kernel_test.h"

namespace tome::kernels::cpu {
namespace {

struct Merged {
  Elements x;
  std::vector<float> size;
  std::vector<float> log_size;
  Elements normed;
};

// Five old rows become three: row 4 alone, row 1 with 0 and 3, row 2 alone.
struct Case {
  Case(ElementType case_type, int case_width)
      : type(case_type),
        width(case_width),
        x(type, RandomValues(5 * static_cast<size_t>(width), 1)),
        weight(RandomValues(width, 2)),
        bias(RandomValues(width, 3)) {}

  Merged Run(const float* sizes, const Compute& compute) const {
    Merged merged = {Elements(type, 3 * static_cast<size_t>(width)), std::vector<float>(3),
                     std::vector<float>(3), Elements(type, 3 * static_cast<size_t>(width))};
    MergeTokens({.type = type,
                 .x = x.at(0),
                 .size = sizes,
                 .own_row = own.data(),
                 .first_source = first.data(),
                 .source_count = count.data(),
                 .source_row = source.data(),
                 .norm_weight = weight.data(),
                 .norm_bias = bias.data(),
                 .epsilon = 1e-6f,
                 .x_out = merged.x.data(),
                 .size_out = merged.size.data(),
                 .log_size_out = merged.log_size.data(),
                 .normed = merged.normed.data(),
                 .rows_out = 3,
                 .width = width},
                compute);
    return merged;
  }

  ElementType type;
  int width;
  Elements x;
  std::vector<float> weight;
  std::vector<float> bias;
  std::vector<int> own = {4, 1, 2};
  std::vector<int> first = {0, 0, 2};
  std::vector<int> count = {0, 2, 0};
  std::vector<int> source = {0, 3, -1, -1, -1};
};

class MergeTokensTest : public KernelTest {};

TEST_P(MergeTokensTest, IsTheMeanWeightedBySize) {
  const std::vector<float> size = {2, 3, 1, 1, 7};
  for (const int width : {1, 7, 8, 33, 384}) {
    SCOPED_TRACE(width);
    const Case merge(type(), width);

    const Merged merged = merge.Run(size.data(), serial());

    for (int i = 0; i < width; ++i) {
      EXPECT_EQ(merged.x[i], merge.x[4 * width + i]);
      const float expected = (3 * merge.x[width + i] + 2 * merge.x[i] + merge.x[3 * width + i]) / 6;
      EXPECT_NEAR(merged.x[width + i], expected, Tolerance(type()));
      EXPECT_EQ(merged.x[2 * width + i], merge.x[2 * width + i]);
    }
    EXPECT_EQ(merged.size, (std::vector<float>{7, 6, 1}));
    for (int row = 0; row < 3; ++row) {
      EXPECT_FLOAT_EQ(merged.log_size[row], std::log(merged.size[row]));
    }
  }
}

TEST_P(MergeTokensTest, NormsWhatItStores) {
  for (const int width : {3, 8, 33, 384}) {
    SCOPED_TRACE(width);
    const Case merge(type(), width);

    const Merged merged = merge.Run(nullptr, threaded());

    for (int row = 0; row < 3; ++row) {
      std::vector<double> stored;
      for (int i = 0; i < width; ++i) stored.push_back(merged.x[row * width + i]);
      const std::vector<double> expected = ReferenceNorm(stored, merge.weight, merge.bias, 1e-6);
      for (int i = 0; i < width; ++i) {
        EXPECT_NEAR(merged.normed[row * width + i], expected[i], 2 * Tolerance(type()));
      }
    }
  }
}

TEST_P(MergeTokensTest, CountsEveryTokenOnceWithoutSizes) {
  const Case merge(type(), 8);
  const std::vector<float> ones(5, 1.0f);

  const Merged merged = merge.Run(nullptr, serial());

  EXPECT_EQ(merged.x, merge.Run(ones.data(), serial()).x);
  EXPECT_EQ(merged.size, (std::vector<float>{1, 3, 1}));
}

TOME_INSTANTIATE_KERNEL_TEST(MergeTokensTest);

}  // namespace
}  // namespace tome::kernels::cpu
