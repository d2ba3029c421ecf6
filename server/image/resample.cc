#include "server/image/resample.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tome {
namespace {

// 32 bits less the 8 of a sample and 2 for the overshoot of negative lobes.
constexpr int kFractionBits = 22;
constexpr int32_t kHalf = 1 << (kFractionBits - 1);

// The filters are written with the operations of Pillow's Resample.c in its order, so that the
// weights are equal to the last bit.

// Half open, as the definition of a pixel's area is.
double Box(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

double Bilinear(double x) {
  x = std::abs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double Sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double Hamming(double x) {
  x = std::abs(x);
  if (x == 0.0) return 1.0;
  if (x >= 1.0) return 0.0;
  const double window = 0.54f + 0.46f * std::cos(x * std::numbers::pi);
  return Sinc(x) * window;
}

// Keys' cubic convolution, a = -0.5.
double Bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

// A sinc under the first lobe of another, three times as wide.
double Lanczos(double x) { return x >= -3.0 && x < 3.0 ? Sinc(x) * Sinc(x / 3.0) : 0.0; }

struct Filter {
  double support = 0.0;  // source positions to each side that it reaches when it does not shrink
  double (*weight)(double distance) = nullptr;
};

// REQUIRES: interpolation is not kNearest.
Filter FilterOf(Preprocessing::Interpolation interpolation) {
  switch (interpolation) {
    case Preprocessing::Interpolation::kBox:
      return {0.5, Box};
    case Preprocessing::Interpolation::kBilinear:
      return {1.0, Bilinear};
    case Preprocessing::Interpolation::kHamming:
      return {1.0, Hamming};
    case Preprocessing::Interpolation::kLanczos:
      return {3.0, Lanczos};
    case Preprocessing::Interpolation::kBicubic:
    case Preprocessing::Interpolation::kNearest:
      break;
  }
  return {2.0, Bicubic};
}

int32_t ToFixedPoint(double weight) {
  const double scaled = weight * (1 << kFractionBits);
  return static_cast<int32_t>(scaled < 0.0 ? scaled - 0.5 : scaled + 0.5);
}

// Pillow adds the step up position by position, and so the rounding errors, too.
AxisWeights NearestWeights(int source, int64_t resized, int64_t first, int count) {
  const double step = static_cast<double>(source) / static_cast<double>(resized);
  double position = step * 0.5;
  for (int64_t skipped = 0; skipped < first; ++skipped) position += step;

  AxisWeights axis;
  axis.max_taps = 1;
  axis.windows.resize(count);
  axis.weights.assign(count, 1 << kFractionBits);
  for (AxisWeights::Window& window : axis.windows) {
    window = {.first = std::min(static_cast<int>(position), source - 1), .taps = 1};
    position += step;
  }
  return axis;
}

uint8_t ToByte(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
}

}  // namespace

AxisWeights ComputeAxisWeights(int source, int64_t resized, int64_t first, int count,
                               Preprocessing::Interpolation interpolation) {
  if (interpolation == Preprocessing::Interpolation::kNearest) {
    return NearestWeights(source, resized, first, count);
  }
  const Filter filter = FilterOf(interpolation);
  const double scale = static_cast<double>(source) / static_cast<double>(resized);
  // Shrinking widens the filter over all source positions that fall together.
  const double filter_scale = std::max(scale, 1.0);
  const double inverse_filter_scale = 1.0 / filter_scale;
  const double support = filter.support * filter_scale;

  AxisWeights axis;
  axis.max_taps = std::min(source, static_cast<int>(std::ceil(support)) * 2 + 1);
  axis.windows.resize(count);
  axis.weights.resize(static_cast<size_t>(count) * axis.max_taps);
  std::vector<double> exact(axis.max_taps);
  for (int output = 0; output < count; ++output) {
    const double center = (static_cast<double>(first + output) + 0.5) * scale;
    const int begin = std::max(0, static_cast<int>(center - support + 0.5));
    const int end = std::min(source, static_cast<int>(center + support + 0.5));
    const int taps = end - begin;
    double sum = 0.0;
    for (int tap = 0; tap < taps; ++tap) {
      const double distance = (tap + begin - center + 0.5) * inverse_filter_scale;
      exact[tap] = filter.weight(distance);
      sum += exact[tap];
    }
    axis.windows[output] = {.first = begin, .taps = taps};
    int32_t* weights = axis.weights.data() + static_cast<size_t>(output) * axis.max_taps;
    for (int tap = 0; tap < taps; ++tap) {
      weights[tap] = ToFixedPoint(sum != 0.0 ? exact[tap] / sum : exact[tap]);
    }
  }
  return axis;
}

void ResampleColumns(const uint8_t* source, size_t source_stride, int rows,
                     const AxisWeights& columns, uint8_t* target, size_t target_stride) {
  const int outputs = static_cast<int>(columns.windows.size());
  const int source_first = columns.windows.front().first;
  for (int row = 0; row < rows; ++row) {
    const uint8_t* source_row = source + source_stride * row;
    uint8_t* target_row = target + target_stride * row;
    for (int output = 0; output < outputs; ++output) {
      const AxisWeights::Window window = columns.windows[output];
      const int32_t* weights = columns.weights_of(output);
      const uint8_t* pixel = source_row + size_t{3} * (window.first - source_first);
      int32_t red = kHalf, green = kHalf, blue = kHalf;
      for (int tap = 0; tap < window.taps; ++tap) {
        red += weights[tap] * pixel[3 * tap];
        green += weights[tap] * pixel[3 * tap + 1];
        blue += weights[tap] * pixel[3 * tap + 2];
      }
      target_row[3 * output] = ToByte(red);
      target_row[3 * output + 1] = ToByte(green);
      target_row[3 * output + 2] = ToByte(blue);
    }
  }
}

void ResampleRows(const uint8_t* source, size_t source_stride, size_t row_bytes,
                  const AxisWeights& rows, uint8_t* target, size_t target_stride) {
  const int outputs = static_cast<int>(rows.windows.size());
  const int source_first = rows.windows.front().first;
  std::vector<int32_t> sums(row_bytes);
  for (int output = 0; output < outputs; ++output) {
    const AxisWeights::Window window = rows.windows[output];
    const int32_t* weights = rows.weights_of(output);
    std::fill(sums.begin(), sums.end(), kHalf);
    int32_t* __restrict sum = sums.data();
    for (int tap = 0; tap < window.taps; ++tap) {
      const uint8_t* samples = source + source_stride * (window.first - source_first + tap);
      const int32_t weight = weights[tap];
      for (size_t i = 0; i < row_bytes; ++i) sum[i] += weight * samples[i];
    }
    uint8_t* __restrict target_row = target + target_stride * output;
    for (size_t i = 0; i < row_bytes; ++i) target_row[i] = ToByte(sum[i]);
  }
}

}  // namespace tome
