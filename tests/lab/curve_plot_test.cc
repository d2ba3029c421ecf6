#include "server/lab/curve_plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>

#include "server/image/decode.h"

namespace tome {
namespace {

using ::testing::Eq;
using ::testing::Ne;
using ::testing::Optional;

const Curve kRate{.name = "learning rate", .values = std::vector<double>(11, 0.001)};

RgbImage Plotted(const std::vector<Curve>& losses) {
  const std::string png = *PlotCurves(losses, kRate);
  return *DecodeImage({reinterpret_cast<const uint8_t*>(png.data()), png.size()}, ImageLimits());
}

// The row of the topmost pixel of this colour in a column, in the frame of the losses.
std::optional<int> Top(const RgbImage& plot, int x, PlotColour colour) {
  for (int y = 0; y < kPlotHeight * 2 / 3; ++y) {
    const uint8_t* pixel = plot.pixels.data() + 3 * (y * plot.width + x);
    if (pixel[0] == colour.red && pixel[1] == colour.green && pixel[2] == colour.blue) return y;
  }
  return std::nullopt;
}

std::vector<double> Falling() { return {5, 4.5, 4, 3.5, 3, 2.5, 2, 1.5, 1, 0.5, 0}; }

TEST(CurvePlotTest, ALossThatFallsIsALineThatFalls) {
  const RgbImage plot = Plotted({{"loss", Falling()}});

  EXPECT_EQ(plot.width, kPlotWidth);
  EXPECT_EQ(plot.height, kPlotHeight);
  const std::optional<int> early = Top(plot, kPlotWidth / 4, kCurveColours[0]);
  const std::optional<int> late = Top(plot, kPlotWidth / 2, kCurveColours[0]);
  ASSERT_THAT(early, Ne(std::nullopt));
  ASSERT_THAT(late, Ne(std::nullopt));
  EXPECT_LT(*early, *late) << "rows count downward";
}

TEST(CurvePlotTest, EachLossHasItsColour) {
  const RgbImage plot =
      Plotted({{"loss", Falling()}, {"contrastive", std::vector<double>(11, 6.0)}});

  const std::optional<int> loss = Top(plot, kPlotWidth / 2, kCurveColours[0]);
  const std::optional<int> contrastive = Top(plot, kPlotWidth / 2, kCurveColours[1]);
  ASSERT_THAT(loss, Ne(std::nullopt));
  ASSERT_THAT(contrastive, Ne(std::nullopt));
  EXPECT_GT(*loss, *contrastive);
  EXPECT_THAT(Top(plot, kPlotWidth / 2, kCurveColours[2]), Eq(std::nullopt));
}

TEST(CurvePlotTest, NoiseFromStepToStepIsSmoothedAway) {
  std::vector<double> noisy(2000);
  for (size_t i = 0; i < noisy.size(); ++i) noisy[i] = i % 2 == 0 ? 1.0 : 3.0;
  noisy.back() = 40.0;  // widens the frame at its very end alone

  const std::string png = *PlotCurves({{"loss", noisy}}, {"learning rate", noisy});
  const RgbImage plot =
      *DecodeImage({reinterpret_cast<const uint8_t*>(png.data()), png.size()}, ImageLimits());

  // The mean of a window is 2 wherever it lies: a straight line, the same row at each place.
  const std::optional<int> here = Top(plot, kPlotWidth / 4, kCurveColours[0]);
  ASSERT_THAT(here, Ne(std::nullopt));
  EXPECT_THAT(Top(plot, kPlotWidth / 2, kCurveColours[0]), Optional(*here));
  EXPECT_THAT(Top(plot, kPlotWidth * 3 / 4, kCurveColours[0]), Optional(*here));
}

TEST(CurvePlotTest, OneStepIsDrawnToo) {
  const auto png = PlotCurves({{"loss", {3.0}}}, {"learning rate", {0.0}});

  ASSERT_TRUE(png.ok()) << png.status();
  EXPECT_THAT(*png, testing::StartsWith("\x89PNG"));
}

}  // namespace
}  // namespace tome
