#include "server/image/resize_crop.h"

#include <algorithm>
#include <cstddef>

#include "server/image/crop_geometry.h"
#include "server/image/resample.h"

namespace tome {
namespace {

// Rows of 3-byte pixels inside a larger picture.
struct Rows {
  const uint8_t* first = nullptr;
  size_t stride = 0;
};

void CopyRows(const Rows& source, int rows, size_t row_bytes, uint8_t* target,
              size_t target_stride) {
  for (int row = 0; row < rows; ++row) {
    std::copy_n(source.first + source.stride * row, row_bytes, target + target_stride * row);
  }
}

}  // namespace

// Columns first, then rows, each pass rounded to bytes: the order decides the last bit.
std::vector<uint8_t> ResizeAndCrop(const RgbView& view, const Preprocessing& spec) {
  const auto [row_axis, column_axis] = ComputeCropGeometry(view.height, view.width, spec);
  const bool resize_rows = row_axis.resized != view.height;
  const bool resize_columns = column_axis.resized != view.width;

  const size_t crop_stride = size_t{3} * spec.crop_width;
  std::vector<uint8_t> crop(crop_stride * spec.crop_height);
  uint8_t* const target =
      crop.data() + crop_stride * row_axis.padding + size_t{3} * column_axis.padding;
  const size_t kept_bytes = size_t{3} * column_axis.kept;

  // The source rows that the kept rows are made of.
  AxisWeights row_weights;
  int first_row = static_cast<int>(row_axis.first);
  int source_rows = row_axis.kept;
  if (resize_rows) {
    row_weights = ComputeAxisWeights(view.height, row_axis.resized, row_axis.first, row_axis.kept,
                                     spec.interpolation);
    const AxisWeights::Window& last = row_weights.windows.back();
    first_row = row_weights.windows.front().first;
    source_rows = last.first + last.taps - first_row;
  }

  const size_t view_stride = size_t{3} * view.width;
  Rows rows = {.first = view.pixels.data() + view_stride * first_row, .stride = view_stride};
  std::vector<uint8_t> columns_done;
  if (resize_columns) {
    const AxisWeights column_weights = ComputeAxisWeights(
        view.width, column_axis.resized, column_axis.first, column_axis.kept, spec.interpolation);
    if (!resize_rows) {
      ResampleColumns(rows.first, rows.stride, source_rows, column_weights, target, crop_stride);
      return crop;
    }
    columns_done.resize(kept_bytes * source_rows);
    ResampleColumns(rows.first, rows.stride, source_rows, column_weights, columns_done.data(),
                    kept_bytes);
    rows = {.first = columns_done.data(), .stride = kept_bytes};
  } else {
    rows.first += 3 * column_axis.first;
  }
  if (resize_rows) {
    ResampleRows(rows.first, rows.stride, kept_bytes, row_weights, target, crop_stride);
  } else {
    CopyRows(rows, row_axis.kept, kept_bytes, target, crop_stride);
  }
  return crop;
}

}  // namespace tome
