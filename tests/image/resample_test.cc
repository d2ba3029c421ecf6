#include "server/image/resample.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace tome {
namespace {

using Interpolation = Preprocessing::Interpolation;

constexpr Interpolation kInterpolations[] = {Interpolation::kNearest,  Interpolation::kBox,
                                             Interpolation::kBilinear, Interpolation::kHamming,
                                             Interpolation::kBicubic,  Interpolation::kLanczos};

TEST(AxisWeightsTest, ThoseOfAPartAreThoseOfTheWhole) {
  for (const auto interpolation : kInterpolations) {
    for (const int resized : {17, 100, 251}) {
      const AxisWeights whole = ComputeAxisWeights(100, resized, 0, resized, interpolation);

      const AxisWeights part = ComputeAxisWeights(100, resized, 5, 9, interpolation);

      for (int output = 0; output < 9; ++output) {
        EXPECT_EQ(part.windows[output].first, whole.windows[output + 5].first) << resized;
        EXPECT_EQ(part.windows[output].taps, whole.windows[output + 5].taps) << resized;
        const int32_t* weights = part.weights_of(output);
        const int32_t* expected = whole.weights_of(output + 5);
        EXPECT_EQ(std::vector<int32_t>(weights, weights + part.max_taps),
                  std::vector<int32_t>(expected, expected + whole.max_taps))
            << "output " << output << " of " << resized;
      }
    }
  }
}

TEST(AxisWeightsTest, AddUpToOneAndStayInsideTheSource) {
  for (const auto interpolation : kInterpolations) {
    for (const int source : {1, 2, 7, 640}) {
      for (const int resized : {1, 3, 64, 1000}) {
        const AxisWeights axis = ComputeAxisWeights(source, resized, 0, resized, interpolation);

        for (int output = 0; output < resized; ++output) {
          const AxisWeights::Window& window = axis.windows[output];
          EXPECT_GE(window.first, 0);
          EXPECT_GT(window.taps, 0);
          EXPECT_LE(window.taps, axis.max_taps);
          EXPECT_LE(window.first + window.taps, source);
          const int32_t* weights = axis.weights_of(output);
          const int64_t sum = std::accumulate(weights, weights + window.taps, int64_t{0});
          // Each weight is rounded by half a unit at most.
          EXPECT_NEAR(static_cast<double>(sum), 1 << 22, 0.5 * window.taps)
              << "output " << output << ", " << source << " to " << resized;
        }
      }
    }
  }
}

}  // namespace
}  // namespace tome
