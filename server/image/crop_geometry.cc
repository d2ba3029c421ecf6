#include "server/image/crop_geometry.h"

#include <algorithm>
#include <cmath>

namespace tome {
namespace {

using CropOffset = Preprocessing::CropOffset;
using Resize = Preprocessing::Resize;

struct ResizedSize {
  int64_t height = 0;
  int64_t width = 0;
};

// The longer side is truncated, not rounded, of a quotient in double.
int64_t LongerSide(int64_t shorter_target, int64_t longer, int64_t shorter) {
  return static_cast<int64_t>(static_cast<double>(shorter_target * longer) /
                              static_cast<double>(shorter));
}

// Python's round(), whose halves go to even. A side that would vanish, which the libraries fail on,
// stays a pixel.
int64_t RoundedSide(int side, double ratio) {
  return std::max<int64_t>(std::llrint(side / ratio), 1);
}

ResizedSize ComputeResizedSize(int height, int width, const Preprocessing& spec) {
  const int64_t target = spec.resize_height;
  const double row_ratio = static_cast<double>(height) / spec.resize_height;
  const double column_ratio = static_cast<double>(width) / spec.resize_width;
  switch (spec.resize) {
    case Resize::kNone:
      return {.height = height, .width = width};
    case Resize::kShortestEdge:
      if (width <= height) return {.height = LongerSide(target, height, width), .width = target};
      return {.height = target, .width = LongerSide(target, width, height)};
    case Resize::kExact:
      return {.height = spec.resize_height, .width = spec.resize_width};
    case Resize::kCover:
    case Resize::kFit: {
      const double ratio = spec.resize == Resize::kCover ? std::min(row_ratio, column_ratio)
                                                         : std::max(row_ratio, column_ratio);
      return {.height = RoundedSide(height, ratio), .width = RoundedSide(width, ratio)};
    }
  }
  return {.height = height, .width = width};
}

int64_t HalfToEven(int64_t difference) {
  const int64_t half = difference / 2;
  return difference % 2 != 0 && half % 2 != 0 ? half + 1 : half;
}

CropAxis Crop(int64_t resized, int crop, CropOffset offset) {
  if (resized < crop) {
    // Each library pads as it does; for an odd difference the two disagree by a pixel.
    const int missing = static_cast<int>(crop - resized);
    return {.resized = resized,
            .kept = static_cast<int>(resized),
            .padding = offset == CropOffset::kHalfToEven ? missing / 2 : (missing + 1) / 2};
  }
  const int64_t excess = resized - crop;
  return {.resized = resized,
          .first = offset == CropOffset::kHalfToEven ? HalfToEven(excess) : excess / 2,
          .kept = crop};
}

}  // namespace

CropGeometry ComputeCropGeometry(int height, int width, const Preprocessing& spec) {
  const ResizedSize resized = ComputeResizedSize(height, width, spec);
  return {.rows = Crop(resized.height, spec.crop_height, spec.crop_offset),
          .columns = Crop(resized.width, spec.crop_width, spec.crop_offset)};
}

}  // namespace tome
