#include "server/kernels/cpu/embed.h"

#include "tests/kernels/cpu/kernel_test.h"

namespace tome::kernels::cpu {
namespace {

class EmbedTest : public KernelTest {};

TEST_P(EmbedTest, LaysPatchesOutAsAConvolutionReadsThem) {
  // Two images of 5 x 7 pixels, patches of 2: a grid of 2 x 3, the last row and column unseen.
  std::vector<uint8_t> first;
  std::vector<uint8_t> second;
  for (int i = 0; i < 5 * 7 * 3; ++i) {
    first.push_back(static_cast<uint8_t>(2 * i));
    second.push_back(static_cast<uint8_t>(255 - i));
  }
  const uint8_t* const pixels[] = {first.data(), second.data()};
  const std::array<float, 3> mean = {0.5f, 0.4f, 0.3f};
  const std::array<float, 3> std = {0.5f, 0.25f, 0.2f};
  Elements rows(type(), 2 * 6 * 12);

  PatchRows({.type = type(),
             .pixels = pixels,
             .rows = rows.data(),
             .height = 5,
             .width = 7,
             .patch_size = 2,
             .mean = mean,
             .std = std},
            threaded());

  std::vector<float> expected;
  for (const uint8_t* image : pixels) {
    for (int patch = 0; patch < 6; ++patch) {
      for (int channel = 0; channel < 3; ++channel) {
        for (int pixel = 0; pixel < 4; ++pixel) {
          const int y = patch / 3 * 2 + pixel / 2;
          const int x = patch % 3 * 2 + pixel % 2;
          const float value = static_cast<float>(image[(y * 7 + x) * 3 + channel]) / 255.0f;
          expected.push_back((value - mean[channel]) / std[channel]);
        }
      }
    }
  }
  EXPECT_EQ(rows, Elements(type(), expected));
}

TEST_P(EmbedTest, AddsPositionsBehindThePrefix) {
  // Packed patches 2 to 4 of two images of 3: the last of the first image, two of the second.
  const int width = 11;
  const std::vector<float> position = RandomValues(3 * width, 1);
  const Elements embeddings(type(), RandomValues(3 * width, 2));
  const Elements untouched(type(), std::vector<float>(2 * 5 * width, 7.0f));
  Elements x = untouched;

  AssemblePatches({.type = type(),
                   .embeddings = embeddings.at(0),
                   .position = position.data(),
                   .x = x.data(),
                   .first_row = 2,
                   .rows = 3,
                   .patches = 3,
                   .prefix_tokens = 2,
                   .width = width},
                  serial());

  std::vector<float> expected = untouched.values();
  const int tokens[] = {4, 7, 8};
  const int patches[] = {2, 0, 1};
  for (int row = 0; row < 3; ++row) {
    for (int i = 0; i < width; ++i) {
      expected[tokens[row] * width + i] =
          embeddings[row * width + i] + position[patches[row] * width + i];
    }
  }
  EXPECT_EQ(x, Elements(type(), expected));
}

TEST_P(EmbedTest, NormsTheSumWhereTheModelDoes) {
  const int width = 21;
  const std::vector<float> position = RandomValues(width, 1);
  const std::vector<float> weight = RandomValues(width, 3);
  const std::vector<float> bias = RandomValues(width, 4);
  const Elements embeddings(type(), RandomValues(width, 2));
  Elements x(type(), 1 * width);

  AssemblePatches({.type = type(),
                   .embeddings = embeddings.at(0),
                   .position = position.data(),
                   .norm_weight = weight.data(),
                   .norm_bias = bias.data(),
                   .epsilon = 1e-5f,
                   .x = x.data(),
                   .rows = 1,
                   .patches = 1,
                   .width = width},
                  serial());

  std::vector<double> sum;
  for (int i = 0; i < width; ++i) sum.push_back(double{embeddings[i]} + position[i]);
  const std::vector<double> expected = ReferenceNorm(sum, weight, bias, 1e-5);
  for (int i = 0; i < width; ++i) EXPECT_NEAR(x[i], expected[i], 3 * Tolerance(type()));
}

TOME_INSTANTIATE_KERNEL_TEST(EmbedTest);

}  // namespace
}  // namespace tome::kernels::cpu
