// Kernels that treat each row by itself: layer norm, gathering, activations, the map.

#include <cmath>
#include <functional>
#include <numeric>

#include "server/kernels/activation.h"
#include "server/kernels/compose_map.h"
#include "server/kernels/gather_rows.h"
#include "server/kernels/layer_norm.h"
#include "tests/kernels/device.h"

namespace tome::kernels {
namespace {

constexpr float kEpsilon = 1e-6f;

class LayerNormTest : public TypedKernelTest {
 protected:
  std::vector<float> weight_;
  std::vector<float> bias_;

  // The kernel's output, for all rows of x or the first `rows` of each segment.
  std::vector<float> Run(const std::vector<float>& x, ElementType out_type, int width, int rows,
                         const std::vector<Segment>& segments = {}) {
    weight_ = RandomValues(ElementType::kFloat32, width, 1);
    bias_ = RandomValues(ElementType::kFloat32, width, 2);
    const ElementArray device_x(type(), x);
    const DeviceArray<float> weight(weight_);
    const DeviceArray<float> bias(bias_);
    const DeviceArray<Segment> device_segments(segments);
    const int images = static_cast<int>(segments.size());
    const ElementArray out(out_type, static_cast<size_t>(rows) * width * std::max(1, images));
    EXPECT_EQ(LayerNorm({.type = type(),
                         .out_type = out_type,
                         .x = device_x.data(),
                         .out = out.data(),
                         .weight = weight.data(),
                         .bias = bias.data(),
                         .segments = segments.empty() ? nullptr : device_segments.data(),
                         .epsilon = kEpsilon,
                         .images = images,
                         .rows = rows,
                         .width = width},
                        nullptr),
              cudaSuccess);
    return out.Download();
  }
};
TOME_FOR_EACH_ELEMENT_TYPE(LayerNormTest);

TEST_P(LayerNormTest, NormalisesEachRowWhateverItsWidth) {
  for (const int width : {8, 192, 256, 384, 768, 1024, 1152, 1280, 1408, 1664, 2048}) {
    const std::vector<float> x = RandomValues(type(), size_t{11} * width, width, 3);

    const std::vector<float> out = Run(x, type(), width, 11);

    EXPECT_TRUE(
        AllNear(out, ReferenceLayerNorm(ToDouble(x), weight_, bias_, kEpsilon), Tolerance(type())))
        << "width " << width;
  }
}

TEST_P(LayerNormTest, WritesFloat32WhereAsked) {
  const std::vector<float> x = RandomValues(type(), size_t{3} * 384, 5);

  const std::vector<float> out = Run(x, ElementType::kFloat32, 384, 3);

  EXPECT_TRUE(AllNear(out, ReferenceLayerNorm(ToDouble(x), weight_, bias_, kEpsilon), 2e-5));
}

TEST_P(LayerNormTest, KeepsDigitsOfRowsFarFromZero) {
  std::vector<float> x = RandomValues(type(), size_t{4} * 768, 6, 0.5f);
  for (float& value : x) value += 100;
  x = Rounded(type(), x);

  const std::vector<float> out = Run(x, ElementType::kFloat32, 768, 4);

  EXPECT_TRUE(AllNear(out, ReferenceLayerNorm(ToDouble(x), weight_, bias_, kEpsilon), 1e-4));
}

TEST_P(LayerNormTest, TakesTheFirstRowsOfEachImage) {
  const std::vector<Segment> segments = Segments({{7, 0}, {2, 0}, {30, 0}});
  const int width = 64;
  const std::vector<float> x = RandomValues(type(), size_t{39} * width, 7);

  const std::vector<float> out = Run(x, type(), width, 2, segments);

  std::vector<double> rows;
  for (const int row : {0, 1, 7, 8, 9, 10}) {
    rows.insert(rows.end(), x.begin() + row * width, x.begin() + (row + 1) * width);
  }
  EXPECT_TRUE(AllNear(out, ReferenceLayerNorm(rows, weight_, bias_, kEpsilon), Tolerance(type())));
}

TEST_P(LayerNormTest, SpoilsNoOtherRowWithANan) {
  const int width = 128;
  std::vector<float> x = RandomValues(type(), size_t{5} * width, 8);
  std::vector<double> expected;
  {
    const std::vector<float> clean = x;
    Run(clean, type(), width, 5);
    expected = ReferenceLayerNorm(ToDouble(clean), weight_, bias_, kEpsilon);
  }
  x[2 * width + 17] = NAN;
  for (int i = 0; i < width; ++i) expected[2 * width + i] = NAN;

  EXPECT_TRUE(AllNear(Run(x, type(), width, 5), expected, Tolerance(type())));
}

TEST(LayerNormArgsTest, RefusesWidthsItCannotHold) {
  for (const int width : {0, 12, 2056}) {
    EXPECT_EQ(LayerNorm({.rows = 1, .width = width}, nullptr), cudaErrorInvalidValue) << width;
  }
}

class GatherRowsTest : public TypedKernelTest {};
TOME_FOR_EACH_ELEMENT_TYPE(GatherRowsTest);

TEST_P(GatherRowsTest, PacksTheFirstRowsOfEachImage) {
  const int width = 1160;
  const std::vector<Segment> segments = Segments({{3, 0}, {1, 0}, {5, 0}});
  const std::vector<float> x = RandomValues(type(), size_t{9} * width, 1);
  const ElementArray device_x(type(), x);
  const DeviceArray<Segment> device_segments(segments);
  const ElementArray out(type(), size_t{3} * width);

  ASSERT_EQ(GatherRows({.type = type(),
                        .x = device_x.data(),
                        .segments = device_segments.data(),
                        .out = out.data(),
                        .images = 3,
                        .rows = 1,
                        .width = width},
                       nullptr),
            cudaSuccess);

  std::vector<float> expected;
  for (const int row : {0, 3, 4}) {
    expected.insert(expected.end(), x.begin() + row * width, x.begin() + (row + 1) * width);
  }
  EXPECT_EQ(out.Download(), expected);
}

double Gelu(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }
double GeluTanh(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
}
double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

class ActivationTest : public TypedKernelTest {
 protected:
  std::vector<float> Run(ActivationKind kind, const std::vector<float>& in, int rows, int width) {
    const ElementArray array(type(), in);
    const ElementArray apart(type(), static_cast<size_t>(rows) * width);
    const bool in_place = kind != ActivationKind::kSwiGlu;
    EXPECT_EQ(Activation({.type = type(),
                          .kind = kind,
                          .in = array.data(),
                          .out = in_place ? array.data() : apart.data(),
                          .rows = rows,
                          .width = width},
                         nullptr),
              cudaSuccess);
    return in_place ? array.Download() : apart.Download();
  }

  // Values of every size, those included where exp overflows.
  std::vector<float> Inputs(size_t size) {
    std::vector<float> values = RandomValues(type(), size, 1, 3);
    const std::vector<float> far = Rounded(type(), {0, -0.0f, 1e-3f, -6, -12, -90, -300, 12, 300});
    std::copy(far.begin(), far.end(), values.begin());
    return values;
  }
};
TOME_FOR_EACH_ELEMENT_TYPE(ActivationTest);

TEST_P(ActivationTest, IsWhatTheFormulaSays) {
  const std::vector<std::pair<ActivationKind, std::function<double(double)>>> kinds = {
      {ActivationKind::kGelu, Gelu},
      {ActivationKind::kGeluTanh, GeluTanh},
      {ActivationKind::kQuickGelu, [](double x) { return x * Sigmoid(1.702 * x); }},
  };
  const int rows = 37;
  const int width = 264;
  const std::vector<float> in = Inputs(static_cast<size_t>(rows) * width);
  for (const auto& [kind, formula] : kinds) {
    std::vector<double> expected;
    for (const float value : in) expected.push_back(formula(value));

    EXPECT_TRUE(AllNear(Run(kind, in, rows, width), expected, Tolerance(type())))
        << "activation " << static_cast<int>(kind);
  }
}

TEST_P(ActivationTest, SwiGluGatesTheSecondHalfOfARowByTheFirst) {
  const int rows = 19;
  const int width = 72;
  const std::vector<float> in = Inputs(size_t{2} * rows * width);
  std::vector<double> expected;
  for (int row = 0; row < rows; ++row) {
    for (int i = 0; i < width; ++i) {
      const double gate = in[2 * row * width + i];
      expected.push_back(gate * Sigmoid(gate) * in[(2 * row + 1) * width + i]);
    }
  }

  EXPECT_TRUE(AllNear(Run(ActivationKind::kSwiGlu, in, rows, width), expected, Tolerance(type())));
}

TEST_P(ActivationTest, DoesNothingToNoRows) {
  EXPECT_TRUE(Run(ActivationKind::kGelu, {}, 0, 64).empty());
}

class ComposeMapTest : public KernelTest {};

TEST_F(ComposeMapTest, FollowsEachTokenThroughOneMoreBlock) {
  std::vector<int> group(1000);
  std::vector<int> row_after(1000);
  for (int i = 0; i < 1000; ++i) {
    group[i] = i * 7 % 1000;
    row_after[i] = i / 3;
  }
  const DeviceArray<int> device_group(group);
  const DeviceArray<int> device_row_after(row_after);

  ASSERT_EQ(
      ComposeMap(
          {.group = device_group.data(), .row_after = device_row_after.data(), .tokens = 1000},
          nullptr),
      cudaSuccess);

  for (int& row : group) row = row_after[row];
  EXPECT_EQ(device_group.Download(), group);
}

}  // namespace
}  // namespace tome::kernels
