#ifndef TOME_SERVER_LAB_CURVE_PLOT_H_
#define TOME_SERVER_LAB_CURVE_PLOT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tome {

// A line of a plot: a value a step.
struct Curve {
  std::string name;
  std::vector<double> values;
};

// The bytes of a PNG file of kPlotWidth x kPlotHeight pixels. Above, each of `losses`, the mean
// over 1% of the steps, in the colour that kCurveColours has in its place, with a legend; below,
// `learning_rate`; both over the steps. INTERNAL where it cannot be drawn. REQUIRES: as many values
// in each, all finite; no more losses than colours.
absl::StatusOr<std::string> PlotCurves(const std::vector<Curve>& losses,
                                       const Curve& learning_rate);

inline constexpr int kPlotWidth = 960;
inline constexpr int kPlotHeight = 720;

struct PlotColour {
  unsigned char red, green, blue;
};
inline constexpr PlotColour kCurveColours[] = {
    {31, 119, 180}, {255, 127, 14}, {44, 160, 44}, {214, 39, 40}};

}  // namespace tome

#endif  // TOME_SERVER_LAB_CURVE_PLOT_H_
