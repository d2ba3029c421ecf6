#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "server/kernels/cpu/simd/kernels.h"

namespace tome::kernels::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class ExponentialTest : public testing::TestWithParam<InstructionSet> {
 protected:
  static std::vector<float> Exponentials(const std::vector<float>& in) {
    std::vector<float> out(in.size());
    KernelsOf(GetParam()).exponentials(in.data(), out.data(), static_cast<int>(in.size()));
    return out;
  }
};

TEST_P(ExponentialTest, IsWithinTwoUnitsInTheLastPlace) {
  std::vector<float> in;
  for (float x = -87.33f; x <= 88.37f; x += 0.00173f) in.push_back(x);
  for (float x = 1e-30f; x < 1.0f; x *= 1.37f) {
    in.push_back(x);
    in.push_back(-x);
  }
  in.push_back(0.0f);

  const std::vector<float> out = Exponentials(in);

  double worst = 0;
  for (size_t i = 0; i < in.size(); ++i) {
    const double exact = std::exp(static_cast<double>(in[i]));
    const float nearest = static_cast<float>(exact);
    const double unit = std::nextafter(nearest, kInfinity) - nearest;
    worst = std::max(worst, std::abs(out[i] - exact) / unit);
  }
  EXPECT_LE(worst, 2.0);
}

TEST_P(ExponentialTest, EndsInZeroInfinityAndNan) {
  const float nan = std::numeric_limits<float>::quiet_NaN();

  const std::vector<float> out = Exponentials({-87.4f, -1e30f, -kInfinity, 88.8f, kInfinity, nan});

  EXPECT_EQ(out[0], 0.0f);
  EXPECT_EQ(out[1], 0.0f);
  EXPECT_EQ(out[2], 0.0f);
  EXPECT_EQ(out[3], kInfinity);
  EXPECT_EQ(out[4], kInfinity);
  EXPECT_TRUE(std::isnan(out[5]));
}

INSTANTIATE_TEST_SUITE_P(Cpu, ExponentialTest,
                         testing::ValuesIn(SupportedInstructionSets().begin(),
                                           SupportedInstructionSets().end()));

}  // namespace
}  // namespace tome::kernels::cpu
