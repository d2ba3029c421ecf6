// Kernels that make the tokens, and the vectors from them: patch rows, assembling, pooling.

#include <cmath>

#include "server/kernels/assemble_tokens.h"
#include "server/kernels/patch_rows.h"
#include "server/kernels/pool.h"
#include "tests/kernels/device.h"

namespace tome::kernels {
namespace {

constexpr float kEpsilon = 1e-5f;

class PatchRowsTest : public TypedKernelTest {};
TOME_FOR_EACH_ELEMENT_TYPE(PatchRowsTest);

TEST_P(PatchRowsTest, NormalisesPixelsInTheOrderOfAConvolutionsKernel) {
  struct Shape {
    int height, width, patch_size, row_stride;
  };
  for (const Shape shape : {Shape{32, 48, 16, 768}, Shape{28, 42, 14, 592}, Shape{8, 8, 4, 48}}) {
    const int images = 2;
    std::vector<uint8_t> pixels(size_t{3} * images * shape.height * shape.width);
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 97 + i / 255);
    const std::array<float, 3> mean = {0.485f, 0.456f, 0.406f};
    const std::array<float, 3> deviation = {0.229f, 0.224f, 0.225f};
    PatchRowsArgs args = {.type = type(),
                          .images = images,
                          .height = shape.height,
                          .width = shape.width,
                          .patch_size = shape.patch_size,
                          .row_stride = shape.row_stride};
    for (int c = 0; c < 3; ++c) {
      args.scale[c] = 1 / (255 * deviation[c]);
      args.shift[c] = -mean[c] / deviation[c];
    }
    const int grid_height = shape.height / shape.patch_size;
    const int grid_width = shape.width / shape.patch_size;
    const DeviceArray<uint8_t> device_pixels(pixels);
    const ElementArray rows(type(), size_t{2} * grid_height * grid_width * shape.row_stride);
    args.pixels = device_pixels.data();
    args.rows = rows.data();

    ASSERT_EQ(PatchRows(args, nullptr), cudaSuccess);

    std::vector<double> expected;
    for (int image = 0; image < images; ++image) {
      for (int patch = 0; patch < grid_height * grid_width; ++patch) {
        for (int c = 0; c < 3; ++c) {
          for (int y = 0; y < shape.patch_size; ++y) {
            for (int x = 0; x < shape.patch_size; ++x) {
              const int row = image * shape.height + patch / grid_width * shape.patch_size + y;
              const int column = patch % grid_width * shape.patch_size + x;
              const double pixel = pixels[3 * (row * shape.width + column) + c];
              expected.push_back((pixel / 255 - mean[c]) / deviation[c]);
            }
          }
        }
        expected.resize(expected.size() + shape.row_stride -
                        3 * shape.patch_size * shape.patch_size);
      }
    }
    EXPECT_TRUE(AllNear(rows.Download(), expected, Tolerance(type())))
        << "patch size " << shape.patch_size;
  }
}

TEST(PatchRowsArgsTest, RefusesImagesThatPatchesDoNotTile) {
  PatchRowsArgs args = {
      .images = 1, .height = 32, .width = 40, .patch_size = 16, .row_stride = 768};
  EXPECT_EQ(PatchRows(args, nullptr), cudaErrorInvalidValue);
  args.width = 32;
  args.row_stride = 760;
  EXPECT_EQ(PatchRows(args, nullptr), cudaErrorInvalidValue);
}

struct Assembly {
  int prefix_tokens;
  bool norm;
};

class AssembleTokensTest : public TypedKernelTest {};
TOME_FOR_EACH_ELEMENT_TYPE(AssembleTokensTest);

TEST_P(AssembleTokensTest, PutsThePrefixInFrontAndAddsPositions) {
  const int images = 3;
  const int patches = 10;
  const int width = 384;
  for (const Assembly assembly : {Assembly{1, false}, Assembly{0, false}, Assembly{5, true}}) {
    const int prefix_tokens = assembly.prefix_tokens;
    const auto embeddings = RandomValues(type(), size_t{images} * patches * width, 1);
    const auto prefix =
        RandomValues(ElementType::kFloat32, static_cast<size_t>(prefix_tokens) * width, 2);
    const auto position = RandomValues(ElementType::kFloat32, size_t{patches} * width, 3);
    const auto weight = RandomValues(ElementType::kFloat32, width, 4);
    const auto bias = RandomValues(ElementType::kFloat32, width, 5);
    const ElementArray device_embeddings(type(), embeddings);
    const DeviceArray<float> device_prefix(prefix);
    const DeviceArray<float> device_position(position);
    const DeviceArray<float> device_weight(weight);
    const DeviceArray<float> device_bias(bias);
    const ElementArray x(type(), static_cast<size_t>(images) * (prefix_tokens + patches) * width);

    ASSERT_EQ(AssembleTokens({.type = type(),
                              .patch_embeddings = device_embeddings.data(),
                              .prefix = prefix_tokens > 0 ? device_prefix.data() : nullptr,
                              .position = device_position.data(),
                              .norm_weight = assembly.norm ? device_weight.data() : nullptr,
                              .norm_bias = assembly.norm ? device_bias.data() : nullptr,
                              .epsilon = kEpsilon,
                              .x = x.data(),
                              .images = images,
                              .patches = patches,
                              .prefix_tokens = prefix_tokens,
                              .width = width},
                             nullptr),
              cudaSuccess);

    std::vector<double> expected;
    for (int image = 0; image < images; ++image) {
      expected.insert(expected.end(), prefix.begin(), prefix.end());
      for (int i = 0; i < patches * width; ++i) {
        expected.push_back(static_cast<double>(embeddings[image * patches * width + i]) +
                           position[i]);
      }
    }
    if (assembly.norm) expected = ReferenceLayerNorm(expected, weight, bias, kEpsilon);
    EXPECT_TRUE(AllNear(x.Download(), expected, Tolerance(type())))
        << prefix_tokens << " prefix tokens";
  }
}

class PoolTest : public TypedKernelTest {
 protected:
  static constexpr int kWidth = 192;
  std::vector<float> weight_ = RandomValues(ElementType::kFloat32, kWidth, 4);
  std::vector<float> bias_ = RandomValues(ElementType::kFloat32, kWidth, 5);

  std::vector<float> Run(const std::vector<float>& x, const std::vector<float>& size,
                         const std::vector<Segment>& segments, Pooling pooling, PoolNorm norm,
                         int prefix_tokens) {
    const ElementArray device_x(type(), x);
    const DeviceArray<float> device_size(size);
    const DeviceArray<Segment> device_segments(segments);
    const DeviceArray<float> weight(weight_);
    const DeviceArray<float> bias(bias_);
    const DeviceArray<float> out(segments.size() * kWidth);
    EXPECT_EQ(Pool({.type = type(),
                    .pooling = pooling,
                    .norm = norm,
                    .x = device_x.data(),
                    .size = size.empty() ? nullptr : device_size.data(),
                    .segments = device_segments.data(),
                    .norm_weight = weight.data(),
                    .norm_bias = bias.data(),
                    .epsilon = kEpsilon,
                    .out = out.data(),
                    .images = static_cast<int>(segments.size()),
                    .prefix_tokens = prefix_tokens,
                    .width = kWidth},
                   nullptr),
              cudaSuccess);
    return out.Download();
  }

  // Rows of `segment` pooled in double, each by its weight.
  std::vector<double> Expected(const std::vector<float>& x, const Segment& segment,
                               const std::vector<double>& weights, PoolNorm norm) {
    std::vector<double> rows(x.begin() + segment.offset * kWidth,
                             x.begin() + (segment.offset + segment.tokens) * kWidth);
    if (norm == PoolNorm::kBefore) rows = ReferenceLayerNorm(rows, weight_, bias_, kEpsilon);
    std::vector<double> pooled(kWidth);
    double total = 0;
    for (int row = 0; row < segment.tokens; ++row) {
      if (weights[row] == 0) continue;
      total += weights[row];
      for (int i = 0; i < kWidth; ++i) pooled[i] += weights[row] * rows[row * kWidth + i];
    }
    for (double& value : pooled) value /= total;
    return norm == PoolNorm::kAfter ? ReferenceLayerNorm(pooled, weight_, bias_, kEpsilon) : pooled;
  }
};
TOME_FOR_EACH_ELEMENT_TYPE(PoolTest);

TEST_P(PoolTest, PoolsEachImageByItself) {
  const std::vector<Segment> segments = Segments({{50, 0}, {3, 0}, {17, 0}});
  const std::vector<float> x = RandomValues(type(), size_t{70} * kWidth, 1);
  std::vector<float> size(70);
  for (int i = 0; i < 70; ++i) size[i] = static_cast<float>(1 + i % 4);
  for (const Pooling pooling :
       {Pooling::kClassToken, Pooling::kMeanOfClassTokens, Pooling::kMeanOfPatches}) {
    for (const PoolNorm norm : {PoolNorm::kBefore, PoolNorm::kAfter, PoolNorm::kNone}) {
      const int prefix_tokens = 2;
      std::vector<double> expected;
      for (const Segment& segment : segments) {
        std::vector<double> weights(segment.tokens);
        for (int row = 0; row < segment.tokens; ++row) {
          weights[row] = pooling == Pooling::kClassToken          ? row == 0
                         : pooling == Pooling::kMeanOfClassTokens ? row < 2
                         : row < prefix_tokens                    ? 0
                                                                  : size[segment.offset + row];
        }
        const std::vector<double> pooled = Expected(x, segment, weights, norm);
        expected.insert(expected.end(), pooled.begin(), pooled.end());
      }

      EXPECT_TRUE(AllNear(Run(x, size, segments, pooling, norm, prefix_tokens), expected, 5e-5))
          << "pooling " << static_cast<int>(pooling) << ", norm " << static_cast<int>(norm);
    }
  }
}

TEST_P(PoolTest, CountsEveryPatchOnceWithoutSizes) {
  const std::vector<Segment> segments = Segments({{9, 0}});
  const std::vector<float> x = RandomValues(type(), size_t{9} * kWidth, 2);
  std::vector<double> weights(9, 1);
  weights[0] = 0;

  EXPECT_TRUE(AllNear(Run(x, {}, segments, Pooling::kMeanOfPatches, PoolNorm::kBefore, 1),
                      Expected(x, segments[0], weights, PoolNorm::kBefore), 5e-5));
}

TEST_P(PoolTest, GivesAnImageTheSameBitsWhateverItsBatchMates) {
  const std::vector<float> x = RandomValues(type(), size_t{61} * kWidth, 3);
  const std::vector<float> size(61, 2);
  const std::vector<float> alone(x.begin() + 20 * kWidth, x.begin() + 61 * kWidth);

  const std::vector<float> mixed =
      Run(x, size, Segments({{20, 0}, {41, 0}}), Pooling::kMeanOfPatches, PoolNorm::kBefore, 1);
  const std::vector<float> by_itself =
      Run(alone, size, Segments({{41, 0}}), Pooling::kMeanOfPatches, PoolNorm::kBefore, 1);

  EXPECT_EQ(std::vector<float>(mixed.begin() + kWidth, mixed.end()), by_itself);
}

TEST_P(PoolTest, SpoilsNoOtherImageWithANan) {
  std::vector<float> x = RandomValues(type(), size_t{12} * kWidth, 4);
  x[3 * kWidth] = NAN;

  const std::vector<float> out =
      Run(x, {}, Segments({{6, 0}, {6, 0}}), Pooling::kMeanOfPatches, PoolNorm::kBefore, 1);

  EXPECT_TRUE(std::isnan(out[0]));
  for (int i = kWidth; i < 2 * kWidth; ++i) ASSERT_TRUE(std::isfinite(out[i])) << i;
}

}  // namespace
}  // namespace tome::kernels
