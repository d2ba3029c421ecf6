#include "server/lab/augment.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <tuple>
#include <vector>

#include "tests/lab/no_augmentation.h"

namespace tome {
namespace {

at::Tensor Pictures() {
  at::Generator random = at::detail::createCPUGenerator(4);
  return at::randint(256, {6, 12, 10, 3}, random, at::TensorOptions().dtype(at::kByte));
}

at::Tensor View(const at::Tensor& pixels, const Augmentation& augmentation, uint64_t seed = 1) {
  at::Generator random = at::detail::createCPUGenerator(seed);
  return Augment(pixels, pixels.size(1), pixels.size(2), augmentation, random);
}

TEST(AugmentTest, LeavesAPictureAsItIsWhereNothingMayChange) {
  const at::Tensor view = View(Pictures(), kNoAugmentation);

  const at::Tensor difference = (view.to(at::kInt) - Pictures().to(at::kInt)).abs();
  EXPECT_LE(difference.max().item<int>(), 1);  // the colour matrix is rounded
}

TEST(AugmentTest, GivesTheSameViewsForTheSameSeedOnAnyNumberOfThreads) {
  at::set_num_threads(1);
  const at::Tensor alone = View(Pictures(), Augmentation());
  at::set_num_threads(2);

  EXPECT_TRUE(at::equal(View(Pictures(), Augmentation()), alone));
  EXPECT_FALSE(at::equal(View(Pictures(), Augmentation(), 2), alone));
}

TEST(AugmentTest, TurnsLeftAndRightSomeOfThePictures) {
  Augmentation flip = kNoAugmentation;
  flip.flip = true;
  const at::Tensor pictures = at::full({64, 2, 2, 3}, 10, at::kByte);
  pictures.select(2, 0).fill_(200);

  const at::Tensor left = View(pictures, flip).select(2, 0).select(1, 0).select(1, 0);

  const int64_t stayed = (left >= 199).sum().item<int64_t>();
  const int64_t turned = (left <= 11).sum().item<int64_t>();
  EXPECT_EQ(stayed + turned, 64);
  EXPECT_GT(stayed, 10);
  EXPECT_GT(turned, 10);
}

TEST(AugmentTest, CropsAPartOfThePicture) {
  Augmentation crop = kNoAugmentation;
  crop.smallest_crop = 0.25;
  // Brightness rises from left to right, so that a crop sees a part of the range.
  at::Tensor pictures = at::full({32, 16, 16, 3}, 0, at::kByte);
  for (int column = 0; column < 16; ++column) pictures.select(2, column).fill_(column * 16);

  const at::Tensor view = View(pictures, crop).select(3, 0).to(at::kInt);

  const at::Tensor range = view.flatten(1).amax(1) - view.flatten(1).amin(1);
  EXPECT_LE(range.max().item<int>(), 240);
  EXPECT_LT(range.min().item<int>(), 200);
  EXPECT_GT(range.min().item<int>(), 90);
}

TEST(AugmentTest, KeepsGreyGreyWhateverHueAndSaturation) {
  Augmentation colours = kNoAugmentation;
  colours.saturation = 0.9;
  colours.hue = 0.5;

  const at::Tensor view = View(at::full({16, 4, 4, 3}, 120, at::kByte), colours).to(at::kInt);

  EXPECT_LE((view - 120).abs().max().item<int>(), 2);
}

TEST(AugmentTest, TurnsRedToOtherHues) {
  Augmentation hue = kNoAugmentation;
  hue.hue = 0.5;
  at::Tensor red = at::full({64, 2, 2, 3}, 40, at::kByte);
  red.select(3, 0).fill_(160);

  const at::Tensor view = View(red, hue);

  const at::Tensor strongest = view.select(1, 0).select(1, 0).argmax(1);
  for (int channel = 0; channel < 3; ++channel) {
    EXPECT_GT((strongest == channel).sum().item<int64_t>(), 5) << channel;
  }
}

TEST(BlendTest, TakesOfEachPictureItsShareAndTheRestOfTheOther) {
  const at::Tensor pictures = at::full({3, 2, 2, 3}, 0, at::kByte);
  pictures[1].fill_(100);
  pictures[2].fill_(200);

  const at::Tensor blends =
      Blend(pictures, {.other = at::tensor(std::vector<int64_t>{1, 2, 0}), .share = 0.75});

  EXPECT_TRUE(at::equal(blends[0], at::full({2, 2, 3}, 25, at::kByte))) << blends[0];
  EXPECT_TRUE(at::equal(blends[1], at::full({2, 2, 3}, 125, at::kByte))) << blends[1];
  EXPECT_TRUE(at::equal(blends[2], at::full({2, 2, 3}, 150, at::kByte))) << blends[2];
}

TEST(BlendTest, IsDrawnAsOftenAsAsked) {
  at::Generator random = at::detail::createCPUGenerator(7);
  int drawn = 0;
  double least = 1.0;
  double most = 0.0;

  for (int step = 0; step < 400; ++step) {
    const std::optional<Blending> blending = DrawBlending(0.25, 5, random);
    if (!blending.has_value()) continue;
    ++drawn;
    least = std::min(least, blending->share);
    most = std::max(most, blending->share);
    const at::Tensor sorted = std::get<0>(at::sort(blending->other));
    ASSERT_TRUE(at::equal(sorted, at::arange(5))) << blending->other;
  }

  EXPECT_NEAR(drawn, 100, 40);
  EXPECT_LT(least, 0.1);
  EXPECT_GT(most, 0.9);
}

TEST(BlendTest, DrawsNothingWhereNothingIsAsked) {
  at::Generator random = at::detail::createCPUGenerator(7);
  at::Generator untouched = random.clone();

  EXPECT_FALSE(DrawBlending(0.0, 5, random).has_value());

  EXPECT_TRUE(at::equal(at::rand({4}, random), at::rand({4}, untouched)));
}

}  // namespace
}  // namespace tome
