#include "server/lab/curve_plot.h"

#include <cairo/cairo.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tome {
namespace {

constexpr double kLeft = 90.0;
constexpr double kRight = kPlotWidth - 20.0;
constexpr double kFontSize = 14.0;
constexpr double kGap = 8.0;  // between a frame and what is written beside it

struct Range {
  double from = 0.0;
  double to = 1.0;
};

// One frame of the picture, of what all its curves span.
struct Frame {
  double top = 0.0;
  double bottom = 0.0;
  std::string title;  // of the values
  Range steps;
  Range values;

  double X(double step) const {
    return kLeft + (step - steps.from) / (steps.to - steps.from) * (kRight - kLeft);
  }
  double Y(double value) const {
    return bottom - (value - values.from) / (values.to - values.from) * (bottom - top);
  }
};

// The mean over the last `window` values, or over those there are.
std::vector<double> Smoothed(const std::vector<double>& values, size_t window) {
  std::vector<double> means;
  means.reserve(values.size());
  double sum = 0.0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum += values[i];
    if (i >= window) sum -= values[i - window];
    means.push_back(sum / static_cast<double>(std::min(i + 1, window)));
  }
  return means;
}

Range Span(const std::vector<Curve>& curves) {
  Range span{curves.front().values.front(), curves.front().values.front()};
  for (const Curve& curve : curves) {
    const auto [least, most] = std::ranges::minmax(curve.values);
    span = {std::min(span.from, least), std::max(span.to, most)};
  }
  // Never empty, and with air above and below.
  const double air = span.to > span.from ? 0.05 * (span.to - span.from) : 1.0;
  return {span.from - air, span.to + air};
}

// About five round numbers within the range.
std::vector<double> Ticks(const Range& range) {
  constexpr double kWanted = 5.0;
  const double least = (range.to - range.from) / kWanted;
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  double between = 10.0 * power;
  for (const double factor : {5.0, 2.0, 1.0}) {
    if (factor * power >= least) between = factor * power;
  }
  std::vector<double> ticks;
  for (double tick = std::ceil(range.from / between); tick * between <= range.to; ++tick) {
    ticks.push_back(tick * between + 0.0);  // no "-0"
  }
  return ticks;
}

class Canvas {
 public:
  Canvas()
      : surface_(cairo_image_surface_create(CAIRO_FORMAT_RGB24, kPlotWidth, kPlotHeight),
                 cairo_surface_destroy),
        cairo_(cairo_create(surface_.get()), cairo_destroy) {
    cairo_set_source_rgb(cairo_.get(), 1.0, 1.0, 1.0);
    cairo_paint(cairo_.get());
    cairo_select_font_face(cairo_.get(), "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cairo_.get(), kFontSize);
  }

  // `x_share` of the text's width lies to the left of x; 0 begins there, 1 ends there.
  void Write(const std::string& text, double x, double y, double x_share) {
    cairo_text_extents_t extents;
    cairo_text_extents(cairo_.get(), text.c_str(), &extents);
    cairo_move_to(cairo_.get(), x - x_share * extents.x_advance, y);
    cairo_show_text(cairo_.get(), text.c_str());
  }

  void DrawFrame(const Frame& frame) {
    constexpr double kLight = 0.85;
    SetColour({}, kLight);
    for (const double tick : Ticks(frame.values)) {
      const double y = std::round(frame.Y(tick)) + 0.5;  // on the pixels
      DrawLine(kLeft, y, kRight, y);
    }
    SetColour({});
    cairo_rectangle(cairo_.get(), kLeft + 0.5, frame.top + 0.5, kRight - kLeft,
                    frame.bottom - frame.top);
    cairo_stroke(cairo_.get());
    for (const double tick : Ticks(frame.values)) {
      Write(absl::StrFormat("%.4g", tick), kLeft - kGap, frame.Y(tick) + kFontSize / 3, 1.0);
    }
    Write(frame.title, kLeft, frame.top - kGap, 0.0);
  }

  void WriteSteps(const Frame& frame) {
    SetColour({});
    for (const double tick : Ticks(frame.steps)) {
      Write(absl::StrFormat("%.6g", tick), frame.X(tick), frame.bottom + kFontSize + kGap, 0.5);
    }
    Write("step", kRight, frame.bottom + 2 * (kFontSize + kGap), 1.0);
  }

  void DrawCurve(const Frame& frame, const std::vector<double>& values, PlotColour colour) {
    SetColour(colour);
    cairo_set_line_width(cairo_.get(), 2.0);
    cairo_new_path(cairo_.get());  // text leaves the point where it ends
    for (size_t step = 0; step < values.size(); ++step) {
      cairo_line_to(cairo_.get(), frame.X(static_cast<double>(step)), frame.Y(values[step]));
    }
    cairo_stroke(cairo_.get());
  }

  void WriteLegend(const Frame& frame, const std::string& name, size_t line, PlotColour colour) {
    constexpr double kSample = 30.0;
    const double y = frame.top + 1.5 * kFontSize * static_cast<double>(line + 1);
    SetColour(colour);
    cairo_set_line_width(cairo_.get(), 2.0);
    DrawLine(kRight - kGap - kSample, y, kRight - kGap, y);
    SetColour({});
    Write(name, kRight - 2 * kGap - kSample, y + kFontSize / 3, 1.0);
  }

  absl::StatusOr<std::string> Png() const {
    std::string bytes;
    const auto append = [](void* out, const unsigned char* data, unsigned int length) {
      static_cast<std::string*>(out)->append(reinterpret_cast<const char*>(data), length);
      return CAIRO_STATUS_SUCCESS;
    };
    // What went wrong before is told here, too.
    const cairo_status_t status =
        cairo_status(cairo_.get()) != CAIRO_STATUS_SUCCESS
            ? cairo_status(cairo_.get())
            : cairo_surface_write_to_png_stream(surface_.get(), append, &bytes);
    if (status != CAIRO_STATUS_SUCCESS) {
      return absl::InternalError(
          absl::StrCat("the curves cannot be drawn: ", cairo_status_to_string(status)));
    }
    return bytes;
  }

 private:
  void SetColour(PlotColour colour, double lightness = 0.0) {
    const auto part = [&](unsigned char value) {
      return lightness + (1.0 - lightness) * value / 255.0;
    };
    cairo_set_source_rgb(cairo_.get(), part(colour.red), part(colour.green), part(colour.blue));
    cairo_set_line_width(cairo_.get(), 1.0);
  }

  void DrawLine(double x0, double y0, double x1, double y1) {
    cairo_move_to(cairo_.get(), x0, y0);
    cairo_line_to(cairo_.get(), x1, y1);
    cairo_stroke(cairo_.get());
  }

  std::unique_ptr<cairo_surface_t, decltype(&cairo_surface_destroy)> surface_;
  std::unique_ptr<cairo_t, decltype(&cairo_destroy)> cairo_;
};

}  // namespace

absl::StatusOr<std::string> PlotCurves(const std::vector<Curve>& losses,
                                       const Curve& learning_rate) {
  const size_t steps = learning_rate.values.size();
  const Range step_range = {0.0, static_cast<double>(std::max<size_t>(steps, 2) - 1)};
  std::vector<Curve> smoothed = losses;
  for (Curve& curve : smoothed) {
    curve.values = Smoothed(curve.values, std::max<size_t>(1, steps / 100));
  }
  const Frame above = {.top = 40.0,
                       .bottom = 470.0,
                       .title = "mean over 1% of the steps",
                       .steps = step_range,
                       .values = Span(smoothed)};
  const Frame below = {.top = 510.0,
                       .bottom = 660.0,
                       .title = learning_rate.name,
                       .steps = step_range,
                       .values = Span({learning_rate})};
  Canvas canvas;
  canvas.DrawFrame(above);
  for (size_t i = 0; i < smoothed.size(); ++i) {
    canvas.DrawCurve(above, smoothed[i].values, kCurveColours[i]);
    canvas.WriteLegend(above, smoothed[i].name, i, kCurveColours[i]);
  }
  canvas.DrawFrame(below);
  canvas.DrawCurve(below, learning_rate.values, kCurveColours[0]);
  canvas.WriteSteps(below);
  return canvas.Png();
}

}  // namespace tome
