#include "server/lab/augment.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/affine_grid_generator.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/grid_sampler.h>
#include <ATen/ops/lerp.h>
#include <ATen/ops/linalg_inv.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randperm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/MathConstants.h>

#include <cmath>

namespace tome {
namespace {

constexpr double kPi = c10::pi<double>;

// [count] numbers, evenly within `reach` of 0.
at::Tensor Within(double reach, int64_t count, at::Generator& random) {
  return (at::rand({count}, random) * 2.0 - 1.0) * reach;
}

// [images, 2, 3]: where each view's pixels lie in its picture, both from -1 to 1.
at::Tensor Placement(int64_t images, const Augmentation& augmentation, at::Generator& random) {
  const at::Tensor area =
      at::rand({images}, random) * (1.0 - augmentation.smallest_crop) + augmentation.smallest_crop;
  const at::Tensor aspect = Within(std::log(augmentation.aspect), images, random).exp();
  const at::Tensor width = (area * aspect).sqrt().clamp_max(1.0);
  const at::Tensor height = (area / aspect).sqrt().clamp_max(1.0);
  const at::Tensor x = Within(1.0, images, random) * (1.0 - width);
  const at::Tensor y = Within(1.0, images, random) * (1.0 - height);
  const at::Tensor angle = Within(augmentation.rotation * kPi / 180.0, images, random);
  at::Tensor mirror = at::where(at::rand({images}, random) < 0.5, -1.0, 1.0);
  if (!augmentation.flip) mirror = mirror.abs();
  const at::Tensor cosine = angle.cos();
  const at::Tensor sine = angle.sin();
  return at::stack({at::stack({mirror * cosine * width, -sine * height, x}, 1),
                    at::stack({mirror * sine * width, cosine * height, y}, 1)},
                   1);
}

// [images, 3, 3]: saturation and hue as a matrix of red, green and blue. In YIQ a change of hue
// turns the plane of I and Q, one of saturation scales it.
at::Tensor ColourMatrices(int64_t images, const Augmentation& augmentation, at::Generator& random) {
  const at::Tensor to_yiq =
      at::tensor({0.299f, 0.587f, 0.114f, 0.596f, -0.274f, -0.322f, 0.211f, -0.523f, 0.312f})
          .view({3, 3});
  const at::Tensor saturation = Within(augmentation.saturation, images, random) + 1.0;
  const at::Tensor turn = Within(augmentation.hue * 2.0 * kPi, images, random);
  const at::Tensor along = saturation * turn.cos();
  const at::Tensor across = saturation * turn.sin();
  const at::Tensor zero = at::zeros_like(along);
  const at::Tensor change =
      at::stack({zero + 1.0, zero, zero, zero, along, -across, zero, across, along}, 1)
          .view({images, 3, 3});
  return at::matmul(at::matmul(at::linalg_inv(to_yiq), change), to_yiq);
}

}  // namespace

at::Tensor Augment(const at::Tensor& pixels, int64_t out_height, int64_t out_width,
                   const Augmentation& augmentation, at::Generator& random) {
  const int64_t images = pixels.size(0);
  const auto drawn = [&](const at::Tensor& values) { return values.to(pixels.device()); };
  const at::Tensor placement = drawn(Placement(images, augmentation, random));
  const at::Tensor matrices = drawn(ColourMatrices(images, augmentation, random));
  const at::Tensor brightness = drawn(Within(augmentation.brightness, images, random) + 1.0);
  const at::Tensor contrast = drawn(Within(augmentation.contrast, images, random) + 1.0);

  const at::Tensor grid = at::affine_grid_generator(placement, {images, 3, out_height, out_width},
                                                    /*align_corners=*/false);
  constexpr int64_t kBilinear = 0;
  constexpr int64_t kRepeatEdge = 1;
  at::Tensor view = at::grid_sampler(pixels.permute({0, 3, 1, 2}).to(c10::ScalarType::Float), grid,
                                     kBilinear, kRepeatEdge, /*align_corners=*/false);
  view = at::matmul(matrices, view.flatten(2));  // [images, 3, pixels]
  const at::Tensor mean = view.mean(at::IntArrayRef({1, 2}), /*keepdim=*/true);
  // In place: each pass over so many pixels costs as much as a block.
  view.sub_(mean).mul_(contrast.view({images, 1, 1})).add_(mean);
  return view.mul_(brightness.view({images, 1, 1}))
      .round_()
      .clamp_(0.0, 255.0)
      .to(c10::ScalarType::Byte)
      .view({images, 3, out_height, out_width})
      .permute({0, 2, 3, 1})
      .contiguous();
}

std::optional<Blending> DrawBlending(double chance, int64_t images, at::Generator& random) {
  if (chance == 0.0) return std::nullopt;
  const at::Tensor drawn = at::rand({2}, random);
  if (drawn[0].item<double>() >= chance) return std::nullopt;
  return Blending{.other = at::randperm(images, random), .share = drawn[1].item<double>()};
}

at::Tensor Blend(const at::Tensor& pixels, const Blending& blending) {
  const at::Tensor own = pixels.to(c10::ScalarType::Float);
  const at::Tensor other = own.index_select(0, blending.other.to(pixels.device()));
  return at::lerp(other, own, blending.share).round_().to(c10::ScalarType::Byte);
}

}  // namespace tome
