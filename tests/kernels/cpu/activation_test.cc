#include "server/kernels/cpu/activation.h"

#include <cmath>

#include "tests/kernels/cpu/kernel_test.h"

namespace tome::kernels::cpu {
namespace {

double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

std::vector<float> Wide(size_t count) {
  std::vector<float> values = RandomValues(count, 1);
  for (float& value : values) value *= 12.0f;
  values[0] = 200.0f;
  values[1] = -200.0f;
  return values;
}

class ActivationTest : public KernelTest {};

TEST_P(ActivationTest, QuickGeluIsItsFormulaInPlace) {
  for (const int width : {3, 8, 19, 1536}) {
    const Elements before(type(), Wide(size_t{20} * width));
    Elements x = before;

    Activate({.type = type(),
              .activation = Activation::kQuickGelu,
              .in = x.data(),
              .out = x.data(),
              .rows = 20,
              .width = width},
             threaded());

    for (size_t i = 0; i < x.size(); ++i) {
      const double expected = before[i] * Sigmoid(1.702 * before[i]);
      ASSERT_NEAR(x[i], expected, Tolerance(type()) * (1 + std::abs(expected))) << before[i];
    }
  }
}

TEST_P(ActivationTest, SwiGluGatesTheSecondHalf) {
  for (const int width : {3, 8, 19, 512}) {
    const Elements in(type(), Wide(size_t{20} * 2 * width));
    Elements out(type(), size_t{20} * width);

    Activate({.type = type(),
              .activation = Activation::kSwiGlu,
              .in = in.at(0),
              .out = out.data(),
              .rows = 20,
              .width = width},
             serial());

    for (int row = 0; row < 20; ++row) {
      for (int i = 0; i < width; ++i) {
        const double gate = in[row * 2 * width + i];
        const double up = in[row * 2 * width + width + i];
        const double expected = gate * Sigmoid(gate) * up;
        ASSERT_NEAR(out[row * width + i], expected, Tolerance(type()) * (1 + std::abs(expected)));
      }
    }
  }
}

TOME_INSTANTIATE_KERNEL_TEST(ActivationTest);

}  // namespace
}  // namespace tome::kernels::cpu
