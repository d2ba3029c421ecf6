#include "server/image/crop_geometry.h"

#include <algorithm>

namespace tome {
namespace {

using CropOffset = Preprocessing::CropOffset;

// The longer side is truncated, not rounded, of a quotient in double.
int64_t LongerSide(int64_t shorter_target, int64_t longer, int64_t shorter) {
  return static_cast<int64_t>(static_cast<double>(shorter_target * longer) /
                              static_cast<double>(shorter));
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
  int64_t resized_height = spec.resize_height;
  int64_t resized_width = spec.resize_width;
  if (spec.resize == Preprocessing::Resize::kShortestEdge) {
    const int64_t target = spec.resize_height;
    resized_height = width <= height ? LongerSide(target, height, width) : target;
    resized_width = width <= height ? target : LongerSide(target, width, height);
  }
  return {.rows = Crop(resized_height, spec.crop_height, spec.crop_offset),
          .columns = Crop(resized_width, spec.crop_width, spec.crop_offset)};
}

}  // namespace tome
