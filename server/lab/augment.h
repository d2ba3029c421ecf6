#ifndef TOME_SERVER_LAB_AUGMENT_H_
#define TOME_SERVER_LAB_AUGMENT_H_

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace tome {

// How far a view of a picture may be from it. Each amount is drawn evenly, for each picture anew.
struct Augmentation {
  double smallest_crop = 0.3;  // of the area; the largest is all of it. In (0, 1]
  double aspect = 4.0 / 3.0;   // of the crop: from its inverse to itself. At least 1
  double rotation = 15.0;      // degrees to either side
  bool flip = true;            // left and right, every other time
  double brightness = 0.4;     // factor 1 - x to 1 + x, as the next two
  double contrast = 0.4;       // around the picture's mean
  double saturation = 0.4;
  double hue = 0.1;  // of the circle of hues, to either side
};

// One view of each picture.
//   pixels  [images, height, width, 3] uint8, on any device
//   random  a CPU generator: the same state gives the same views, however many threads compute
// Returns [images, out_height, out_width, 3] uint8. Crop and rotation are one bilinear sampling;
// what lies beyond the picture repeats its edge.
at::Tensor Augment(const at::Tensor& pixels, int64_t out_height, int64_t out_width,
                   const Augmentation& augmentation, at::Generator& random);

// How a step's pictures are blended with each other ("mixup: Beyond Empirical Risk Minimization",
// Zhang et al., 2018, with alpha = 1).
struct Blending {
  at::Tensor other;  // [images] int64: the picture that each is blended with, a permutation
  double share;      // of each picture itself in its blend, and of its label; 0 to 1
};

// With this chance a blending, else none. `random` as of Augment; a chance of 0 draws nothing.
std::optional<Blending> DrawBlending(double chance, int64_t images, at::Generator& random);

// The blends of pictures [images, height, width, 3] uint8, on any device: as many, as large.
at::Tensor Blend(const at::Tensor& pixels, const Blending& blending);

}  // namespace tome

#endif  // TOME_SERVER_LAB_AUGMENT_H_
