#include "server/model/resample_positions.h"

#include <ATen/ops/_upsample_bicubic2d_aa.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/upsample_bicubic2d.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>
#include <vector>

namespace tome {
namespace {

using ::testing::FloatNear;
using ::testing::Pointwise;

constexpr int kDim = 3;

std::vector<float> Random(int count) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// PyTorch's own interpolation of [height * width, dim], in double: in float its coordinates are off
// by up to 4e-6 of the result.
std::vector<float> Reference(std::vector<float> positions, ImageSize from, ImageSize to,
                             PositionResampling resampling) {
  const at::Tensor image = at::from_blob(positions.data(), {1, from.height, from.width, kDim})
                               .to(at::kDouble)
                               .permute({0, 3, 1, 2})
                               .contiguous();
  const std::array<int64_t, 2> size = {to.height, to.width};
  const at::Tensor resized = (resampling == PositionResampling::kBicubicAntialiased
                                  ? at::_upsample_bicubic2d_aa(image, size, /*align_corners=*/false)
                                  : at::upsample_bicubic2d(image, size, /*align_corners=*/false))
                                 .permute({0, 2, 3, 1})
                                 .to(at::kFloat)
                                 .contiguous();
  const float* data = resized.const_data_ptr<float>();
  return {data, data + resized.numel()};
}

class ResamplePositionsTest : public testing::TestWithParam<PositionResampling> {
 private:
  const c10::InferenceMode inference_;
};

TEST_P(ResamplePositionsTest, GivesWhatPyTorchDoes) {
  struct Case {
    ImageSize from;
    ImageSize to;
  };
  for (const auto& [from, to] : std::vector<Case>{{{14, 14}, {16, 16}},
                                                  {{37, 37}, {16, 16}},
                                                  {{14, 14}, {24, 24}},
                                                  {{7, 7}, {3, 5}},
                                                  {{4, 6}, {9, 5}},
                                                  {{2, 2}, {7, 7}},
                                                  {{1, 1}, {3, 2}},
                                                  {{5, 3}, {1, 1}}}) {
    const std::vector<float> positions = Random(from.height * from.width * kDim);

    EXPECT_THAT(ResamplePositions(positions, kDim, from, to, GetParam()),
                Pointwise(FloatNear(1e-6f), Reference(positions, from, to, GetParam())))
        << from.height << " x " << from.width << " to " << to.height << " x " << to.width;
  }
}

TEST_P(ResamplePositionsTest, LeavesTheSameGridAsItIs) {
  const std::vector<float> positions = Random(5 * 4 * kDim);

  EXPECT_EQ(ResamplePositions(positions, kDim, {5, 4}, {5, 4}, GetParam()), positions);
}

INSTANTIATE_TEST_SUITE_P(Resamplings, ResamplePositionsTest,
                         testing::Values(PositionResampling::kBicubic,
                                         PositionResampling::kBicubicAntialiased),
                         [](const auto& each) {
                           return std::string(each.param == PositionResampling::kBicubic
                                                  ? "Bicubic"
                                                  : "BicubicAntialiased");
                         });

}  // namespace
}  // namespace tome
