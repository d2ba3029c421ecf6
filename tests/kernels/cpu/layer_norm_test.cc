#include "server/kernels/cpu/layer_norm.h"

#include "tests/kernels/cpu/kernel_test.h"

namespace tome::kernels::cpu {
namespace {

class LayerNormTest : public KernelTest {
 protected:
  // out = LayerNorm(x) against the formula in float64.
  static void ExpectNormOf(const Elements& x, const Elements& out, int width,
                           const std::vector<float>& weight, const std::vector<float>& bias,
                           double tolerance) {
    for (size_t start = 0; start < x.size(); start += width) {
      std::vector<double> row;
      for (int i = 0; i < width; ++i) row.push_back(x[start + i]);
      const std::vector<double> expected = ReferenceNorm(row, weight, bias, 1e-5);
      for (int i = 0; i < width; ++i) ASSERT_NEAR(out[start + i], expected[i], tolerance) << i;
    }
  }
};

TEST_P(LayerNormTest, IsTheFormulaForEveryWidth) {
  for (const int width : {2, 3, 8, 15, 17, 192, 384, 1408}) {
    SCOPED_TRACE(width);
    const std::vector<float> weight = RandomValues(width, 1);
    const std::vector<float> bias = RandomValues(width, 2);
    Elements x(type(), RandomValues(size_t{35} * width, 3));
    Elements out(type(), x.size());

    LayerNorm({.type = type(),
               .out_type = type(),
               .x = x.data(),
               .out = out.data(),
               .weight = weight.data(),
               .bias = bias.data(),
               .epsilon = 1e-5f,
               .rows = 35,
               .width = width},
              threaded());

    ExpectNormOf(x, out, width, weight, bias, 3 * Tolerance(type()));
  }
}

TEST_P(LayerNormTest, KeepsFloat32WhereItIsAsked) {
  const std::vector<float> weight(24, 1.0f);
  const std::vector<float> bias(24, 0.0f);
  Elements x(type(), RandomValues(2 * 24, 3));
  Elements out(ElementType::kFloat32, x.size());

  LayerNorm({.type = type(),
             .out_type = ElementType::kFloat32,
             .x = x.data(),
             .out = out.data(),
             .weight = weight.data(),
             .bias = bias.data(),
             .epsilon = 1e-5f,
             .rows = 2,
             .width = 24},
            serial());

  ExpectNormOf(x, out, 24, weight, bias, 1e-5);
}

TEST_P(LayerNormTest, AddsFirstAndNormsTheRoundedSum) {
  const int width = 40;
  const std::vector<float> weight = RandomValues(width, 1);
  const std::vector<float> bias = RandomValues(width, 2);
  const Elements before(type(), RandomValues(3 * width, 3));
  const Elements delta(type(), RandomValues(3 * width, 4));
  Elements x = before;
  Elements out(type(), x.size());

  LayerNorm({.type = type(),
             .out_type = type(),
             .x = x.data(),
             .delta = delta.at(0),
             .out = out.data(),
             .weight = weight.data(),
             .bias = bias.data(),
             .epsilon = 1e-5f,
             .rows = 3,
             .width = width},
            serial());

  std::vector<float> sums;
  for (size_t i = 0; i < x.size(); ++i) sums.push_back(before[i] + delta[i]);
  EXPECT_EQ(x, Elements(type(), sums));
  ExpectNormOf(x, out, width, weight, bias, 3 * Tolerance(type()));
}

TEST_P(LayerNormTest, AddsAloneWhereNoNormIsAsked) {
  const Elements delta(type(), std::vector<float>{4, 8, 16});
  Elements x(type(), std::vector<float>{1, 2, 3});

  LayerNorm({.type = type(), .x = x.data(), .delta = delta.at(0), .rows = 1, .width = 3}, serial());

  EXPECT_EQ(x.values(), (std::vector<float>{5, 10, 19}));
}

TEST_P(LayerNormTest, WritesOverItsInput) {
  const std::vector<float> weight = RandomValues(19, 1);
  const std::vector<float> bias = RandomValues(19, 2);
  const Elements before(type(), RandomValues(19, 3));
  Elements x = before;

  LayerNorm({.type = type(),
             .out_type = type(),
             .x = x.data(),
             .out = x.data(),
             .weight = weight.data(),
             .bias = bias.data(),
             .epsilon = 1e-5f,
             .rows = 1,
             .width = 19},
            serial());

  ExpectNormOf(before, x, 19, weight, bias, 3 * Tolerance(type()));
}

TOME_INSTANTIATE_KERNEL_TEST(LayerNormTest);

}  // namespace
}  // namespace tome::kernels::cpu
