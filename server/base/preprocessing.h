#ifndef TOME_SERVER_BASE_PREPROCESSING_H_
#define TOME_SERVER_BASE_PREPROCESSING_H_

#include <array>

namespace tome {

// How a checkpoint wants its pictures: read from the checkpoint by model/, carried out on pixels by
// image/ (resize and crop) and by the engine (mean and std). Plain data, shared by both rooms.
struct Preprocessing {
  enum class Resize {
    kShortestEdge,  // the shorter side becomes `resize_height`, the aspect ratio is kept
    kExact,         // resize_height x resize_width, whatever the aspect ratio
  };
  enum class Interpolation { kBilinear, kBicubic };
  // The crop's first row is (height - crop) / 2, which is not whole for an odd difference.
  enum class CropOffset {
    kHalfToEven,  // timm, torchvision
    kDown,        // transformers
  };

  Resize resize = Resize::kShortestEdge;
  int resize_height = 0;
  int resize_width = 0;
  Interpolation interpolation = Interpolation::kBicubic;
  CropOffset crop_offset = CropOffset::kHalfToEven;
  // The model's input size. A smaller resized picture is padded with zeros (black).
  int crop_height = 0;
  int crop_width = 0;
  // Of each channel, on the scale 0..1: the network sees (pixel / 255 - mean) / std.
  std::array<float, 3> mean = {0.5f, 0.5f, 0.5f};
  std::array<float, 3> std = {0.5f, 0.5f, 0.5f};
};

}  // namespace tome

#endif  // TOME_SERVER_BASE_PREPROCESSING_H_
