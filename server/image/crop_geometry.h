#ifndef TOME_SERVER_IMAGE_CROP_GEOMETRY_H_
#define TOME_SERVER_IMAGE_CROP_GEOMETRY_H_

#include <cstdint>

#include "server/base/preprocessing.h"

namespace tome {

// One axis of a resize followed by a centre crop, in pixels.
struct CropAxis {
  int64_t resized = 0;  // the whole resized picture, most of which may never be computed
  int64_t first = 0;    // the first resized row (or column) that the crop keeps
  int kept = 0;         // how many it keeps from there
  int padding = 0;      // rows of padding in front of them; what is missing behind is padding, too

  friend bool operator==(const CropAxis&, const CropAxis&) = default;
};

struct CropGeometry {
  CropAxis rows;
  CropAxis columns;

  friend bool operator==(const CropGeometry&, const CropGeometry&) = default;
};

// Where the crop of a height x width picture comes from, as torchvision's and timm's transforms on
// a Pillow image place it (CropOffset::kHalfToEven) or as transformers does (kDown). REQUIRES: all
// sizes that spec.resize reads > 0.
CropGeometry ComputeCropGeometry(int height, int width, const Preprocessing& spec);

}  // namespace tome

#endif  // TOME_SERVER_IMAGE_CROP_GEOMETRY_H_
