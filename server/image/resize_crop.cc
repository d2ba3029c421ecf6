#include "server/image/resize_crop.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "server/image/crop_geometry.h"
#include "server/image/resample.h"

namespace tome {
namespace {

// What one axis of the kept region needs of the source.
struct AxisPass {
  bool resizes = false;
  int source_first = 0;
  int source_count = 0;
  AxisWeights weights = {};  // if it resizes
};

AxisPass PlanPass(int source, const CropAxis& axis, Preprocessing::Interpolation interpolation) {
  if (axis.resized == source) {
    return {.source_first = static_cast<int>(axis.first), .source_count = axis.kept};
  }
  AxisPass pass = {.resizes = true};
  pass.weights = ComputeAxisWeights(source, axis.resized, axis.first, axis.kept, interpolation);
  const AxisWeights::Window& last = pass.weights.windows.back();
  pass.source_first = pass.weights.windows.front().first;
  pass.source_count = last.first + last.taps - pass.source_first;
  return pass;
}

// Columns first, but for a very tall picture that gets lower, since Pillow 12.2. Each pass rounds
// to bytes, so the order shows in the last bit.
bool RowsGoFirst(const RgbView& view, const CropAxis& rows) {
  constexpr int64_t kVeryTall = 100;
  return view.height > kVeryTall * view.width && rows.resized < view.height;
}

bool IsPadded(const CropGeometry& geometry, const Preprocessing& spec) {
  return geometry.rows.kept < spec.crop_height || geometry.columns.kept < spec.crop_width;
}

void Fill(const std::array<uint8_t, 3>& color, std::vector<uint8_t>* pixels) {
  for (size_t i = 0; i < pixels->size(); ++i) (*pixels)[i] = color[i % 3];
}

}  // namespace

std::vector<uint8_t> ResizeAndCrop(const RgbView& view, const Preprocessing& spec) {
  const CropGeometry geometry = ComputeCropGeometry(view.height, view.width, spec);
  const AxisPass rows = PlanPass(view.height, geometry.rows, spec.interpolation);
  const AxisPass columns = PlanPass(view.width, geometry.columns, spec.interpolation);
  const int kept_rows = geometry.rows.kept;
  const size_t kept_bytes = size_t{3} * geometry.columns.kept;

  const size_t crop_stride = size_t{3} * spec.crop_width;
  std::vector<uint8_t> crop(crop_stride * spec.crop_height);
  if (IsPadded(geometry, spec)) Fill(spec.fill, &crop);
  uint8_t* const target =
      crop.data() + crop_stride * geometry.rows.padding + size_t{3} * geometry.columns.padding;
  const size_t view_stride = size_t{3} * view.width;
  const uint8_t* const source =
      view.pixels.data() + view_stride * rows.source_first + size_t{3} * columns.source_first;

  if (rows.resizes && columns.resizes && RowsGoFirst(view, geometry.rows)) {
    const size_t between_stride = size_t{3} * columns.source_count;
    std::vector<uint8_t> between(between_stride * kept_rows);
    ResampleRows(source, view_stride, between_stride, rows.weights, between.data(), between_stride);
    ResampleColumns(between.data(), between_stride, kept_rows, columns.weights, target,
                    crop_stride);
  } else if (rows.resizes && columns.resizes) {
    std::vector<uint8_t> between(kept_bytes * rows.source_count);
    ResampleColumns(source, view_stride, rows.source_count, columns.weights, between.data(),
                    kept_bytes);
    ResampleRows(between.data(), kept_bytes, kept_bytes, rows.weights, target, crop_stride);
  } else if (rows.resizes) {
    ResampleRows(source, view_stride, kept_bytes, rows.weights, target, crop_stride);
  } else if (columns.resizes) {
    ResampleColumns(source, view_stride, kept_rows, columns.weights, target, crop_stride);
  } else {
    for (int row = 0; row < kept_rows; ++row) {
      std::copy_n(source + view_stride * row, kept_bytes, target + crop_stride * row);
    }
  }
  return crop;
}

}  // namespace tome
