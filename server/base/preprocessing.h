#ifndef TOME_SERVER_BASE_PREPROCESSING_H_
#define TOME_SERVER_BASE_PREPROCESSING_H_

#include <array>
#include <cstdint>

namespace tome {

// How a checkpoint wants its pictures: read from the checkpoint by model/, carried out on pixels by
// image/ (resize and crop) and by the engine (rescale, mean and std). Plain data, shared by both
// rooms. A picture is resized, then cropped or padded to the model's input size, always the centre:
// there is no way to feed a network pictures of several sizes.
struct Preprocessing {
  // height x width is the picture's, resize_height x resize_width what it is resized towards.
  enum class Resize {
    // Not resized at all. transformers: do_resize false.
    kNone,
    // The shorter side becomes resize_height, the longer int(resize_height * longer / shorter).
    // transformers: size {"shortest_edge"}. timm: crop_mode "center" of a square input, where
    // resize_height = floor(input / crop_pct).
    kShortestEdge,
    // resize_height x resize_width, whatever the aspect ratio. transformers: size {"height",
    // "width"}. timm: crop_mode "squash", each side floor(input / crop_pct).
    kExact,
    // The smallest picture of the same aspect ratio that covers resize_height x resize_width: each
    // side round(side / min(height / resize_height, width / resize_width)), halves to even. timm:
    // crop_mode "center" of an input that is not square.
    kCover,
    // The largest that fits inside, with max in place of min, and no side below 1. timm: crop_mode
    // "border".
    kFit,
  };
  // Pillow's filters, antialiased but for kNearest. Its numbers, which transformers writes as
  // "resample": 0 nearest, 1 lanczos, 2 bilinear, 3 bicubic, 4 box, 5 hamming. timm writes the
  // names.
  enum class Interpolation { kNearest, kBox, kBilinear, kHamming, kBicubic, kLanczos };
  // The crop's first row is (height - crop) / 2, which is not whole for an odd difference; the
  // two also place a picture that is smaller than the crop differently.
  enum class CropOffset {
    kHalfToEven,  // timm, torchvision; padding in front is rounded down
    kDown,        // transformers; padding in front is rounded up
  };

  Resize resize = Resize::kShortestEdge;
  int resize_height = 0;  // not read for kNone
  int resize_width = 0;   // not read for kNone and kShortestEdge
  Interpolation interpolation = Interpolation::kBicubic;
  CropOffset crop_offset = CropOffset::kHalfToEven;
  // The model's input size. Where a processor does not crop, it is the size it resizes to.
  int crop_height = 0;
  int crop_width = 0;
  // What surrounds a resized picture that is smaller, red, green, blue. timm's "border" says
  // round(255 * mean), halves to even; everything else pads with zeros.
  std::array<uint8_t, 3> fill = {0, 0, 0};

  // The network sees (float(pixel * rescale) - mean) / std of each channel: the product in double,
  // the rest in float. 1 where a processor does not rescale (do_rescale false), mean 0 and std 1
  // where it does not normalise (do_normalize false).
  double rescale = 1.0 / 255.0;
  std::array<float, 3> mean = {0.5f, 0.5f, 0.5f};
  std::array<float, 3> std = {0.5f, 0.5f, 0.5f};
};

}  // namespace tome

#endif  // TOME_SERVER_BASE_PREPROCESSING_H_
