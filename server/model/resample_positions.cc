#include "server/model/resample_positions.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace tome {
namespace {

// One axis: which cells make each new cell, and with which weights.
struct Tap {
  int cell = 0;
  double weight = 0.0;
};
using Taps = std::vector<std::vector<Tap>>;

// Keys' cubic convolution kernel.
double Cubic(double x, double a) {
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a;
  return 0.0;
}

Taps PlainTaps(int from, int to) {
  constexpr double kA = -0.75;
  Taps taps(to);
  for (int i = 0; i < to; ++i) {
    const double center = static_cast<double>(from) / to * (i + 0.5) - 0.5;
    const int first = static_cast<int>(std::floor(center)) - 1;
    for (int cell = first; cell < first + 4; ++cell) {
      taps[i].push_back(
          {.cell = std::clamp(cell, 0, from - 1), .weight = Cubic(center - cell, kA)});
    }
  }
  return taps;
}

Taps AntialiasedTaps(int from, int to) {
  constexpr double kA = -0.5;
  const double scale = static_cast<double>(from) / to;
  const double stretch = std::max(scale, 1.0);
  const double support = 2.0 * stretch;
  Taps taps(to);
  for (int i = 0; i < to; ++i) {
    const double center = scale * (i + 0.5);
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int end = std::min(static_cast<int>(center + support + 0.5), from);
    double sum = 0.0;
    for (int cell = first; cell < end; ++cell) {
      taps[i].push_back({.cell = cell, .weight = Cubic((cell - center + 0.5) / stretch, kA)});
      sum += taps[i].back().weight;
    }
    for (Tap& tap : taps[i]) tap.weight /= sum;
  }
  return taps;
}

// Along the rows of [rows, from, dim].
std::vector<double> Resample(const std::vector<double>& values, int rows, int from, int dim,
                             const Taps& taps) {
  std::vector<double> result(static_cast<size_t>(rows) * taps.size() * dim);
  double* out = result.data();
  for (int row = 0; row < rows; ++row) {
    for (const std::vector<Tap>& cell : taps) {
      for (const Tap& tap : cell) {
        const double* in = values.data() + (static_cast<size_t>(row) * from + tap.cell) * dim;
        for (int d = 0; d < dim; ++d) out[d] += tap.weight * in[d];
      }
      out += dim;
    }
  }
  return result;
}

}  // namespace

std::vector<float> ResamplePositions(const std::vector<float>& positions, int dim, ImageSize from,
                                     ImageSize to, PositionResampling resampling) {
  const auto taps =
      resampling == PositionResampling::kBicubicAntialiased ? AntialiasedTaps : PlainTaps;
  const std::vector<double> wide = Resample({positions.begin(), positions.end()}, from.height,
                                            from.width, dim, taps(from.width, to.width));
  // Down the columns: a row of cells is one cell of width * dim numbers.
  const std::vector<double> result =
      Resample(wide, 1, from.height, to.width * dim, taps(from.height, to.height));
  return {result.begin(), result.end()};
}

}  // namespace tome
