#include "server/kernels/cpu/linear.h"

#include <cmath>

#include "tests/kernels/cpu/kernel_test.h"

namespace tome::kernels::cpu {
namespace {

struct Layer {
  int outputs;
  int inputs;
};

// Panels that are not full, an odd number of them, and sums longer than what is multiplied at once.
constexpr Layer kLayers[] = {{1, 1}, {7, 5}, {16, 48}, {40, 33}, {24, 1024}, {19, 2500}};

double Activated(LinearActivation activation, double x) {
  switch (activation) {
    case LinearActivation::kGelu:
      return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    case LinearActivation::kGeluTanh:
      return x * 0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case LinearActivation::kNone:
      break;
  }
  return x;
}

class LinearTest : public testing::TestWithParam<InstructionSet> {
 protected:
  // [rows, outputs] of the first `rows` rows, x and out in memory that holds more columns.
  std::vector<float> Multiply(const Layer& layer, const std::vector<float>& x, int rows,
                              LinearActivation activation, const ParallelFor& threads) const {
    const int x_stride = layer.inputs + 3;
    const int out_stride = layer.outputs + 5;
    std::vector<float> apart(static_cast<size_t>(rows) * x_stride, std::nanf(""));
    for (int row = 0; row < rows; ++row) {
      std::copy_n(x.begin() + static_cast<ptrdiff_t>(row) * layer.inputs, layer.inputs,
                  apart.begin() + static_cast<ptrdiff_t>(row) * x_stride);
    }
    constexpr float kUntouched = -77.0f;
    std::vector<float> out(static_cast<size_t>(rows) * out_stride, kUntouched);
    std::vector<float> panels(LinearPanelFloats(layer.outputs, layer.inputs));
    PackLinear(Weight(layer).data(), Bias(layer).data(), layer.outputs, layer.inputs, GetParam(),
               panels.data());

    Linear({.x = apart.data(),
            .x_stride = static_cast<size_t>(x_stride),
            .panels = panels.data(),
            .activation = activation,
            .out = out.data(),
            .out_stride = static_cast<size_t>(out_stride),
            .rows = rows,
            .inputs = layer.inputs,
            .outputs = layer.outputs},
           {threads, GetParam()});

    std::vector<float> dense;
    for (int row = 0; row < rows; ++row) {
      const float* start = out.data() + static_cast<size_t>(row) * out_stride;
      dense.insert(dense.end(), start, start + layer.outputs);
      for (int i = layer.outputs; i < out_stride; ++i) EXPECT_EQ(start[i], kUntouched);
    }
    return dense;
  }

  static std::vector<float> Weight(const Layer& layer) {
    return RandomValues(static_cast<size_t>(layer.outputs) * layer.inputs, 1);
  }
  static std::vector<float> Bias(const Layer& layer) { return RandomValues(layer.outputs, 2); }
};

TEST_P(LinearTest, IsItsFormulaForEveryShapeAndActivation) {
  constexpr int kRows = 13;
  for (const Layer& layer : kLayers) {
    for (const auto activation :
         {LinearActivation::kNone, LinearActivation::kGelu, LinearActivation::kGeluTanh}) {
      const std::vector<float> x = RandomValues(static_cast<size_t>(kRows) * layer.inputs, 3);
      const std::vector<float> weight = Weight(layer);
      const std::vector<float> bias = Bias(layer);

      const std::vector<float> out = Multiply(layer, x, kRows, activation, Serial());

      for (int row = 0; row < kRows; ++row) {
        for (int column = 0; column < layer.outputs; ++column) {
          double sum = bias[column];
          for (int t = 0; t < layer.inputs; ++t) {
            sum +=
                static_cast<double>(x[row * layer.inputs + t]) * weight[column * layer.inputs + t];
          }
          const double expected = Activated(activation, sum);
          ASSERT_NEAR(out[row * layer.outputs + column], expected, 2e-5 * (1 + std::abs(sum)))
              << layer.outputs << " x " << layer.inputs << ", sum " << sum;
        }
      }
    }
  }
}

TEST_P(LinearTest, GivesARowTheSameBitsWhateverTheRowsAndThreadsAroundIt) {
  constexpr int kMostRows = 150;
  for (const Layer& layer : kLayers) {
    const std::vector<float> x = RandomValues(static_cast<size_t>(kMostRows) * layer.inputs, 4);
    const std::vector<float> all = Multiply(layer, x, kMostRows, LinearActivation::kGelu, Serial());
    for (const int rows : {1, 2, 3, 5, 6, 7, 8, 47, 48, 49, 97, 150}) {
      const std::vector<float> some = Multiply(layer, x, rows, LinearActivation::kGelu, Threads(3));
      EXPECT_EQ(some, std::vector<float>(all.begin(), all.begin() + rows * layer.outputs))
          << rows << " rows of " << layer.outputs << " x " << layer.inputs;
    }
  }
}

TEST_P(LinearTest, GeluKeepsItsDigitsFarFromZero) {
  // A layer of one input and weight one: the activation alone.
  for (const float x : {-9.0f, -5.0f, -3.0f, -1.0f, -1e-3f, 0.0f, 1e-3f, 1.0f, 4.0f, 100.0f}) {
    std::vector<float> panels(LinearPanelFloats(1, 1));
    const float one = 1.0f;
    const float zero = 0.0f;
    PackLinear(&one, &zero, 1, 1, GetParam(), panels.data());
    for (const auto activation : {LinearActivation::kGelu, LinearActivation::kGeluTanh}) {
      float out = 0;

      Linear({.x = &x,
              .x_stride = 1,
              .panels = panels.data(),
              .activation = activation,
              .out = &out,
              .out_stride = 1,
              .rows = 1,
              .inputs = 1,
              .outputs = 1},
             {Serial(), GetParam()});

      EXPECT_NEAR(out, Activated(activation, x), 3e-7 * (1 + std::abs(x))) << x;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, LinearTest,
                         testing::ValuesIn(SupportedInstructionSets().begin(),
                                           SupportedInstructionSets().end()),
                         [](const auto& set) {
                           return set.param == InstructionSet::kPortable ? std::string("Portable")
                                  : set.param == InstructionSet::kAvx2   ? std::string("Avx2")
                                  : set.param == InstructionSet::kAvx512
                                      ? std::string("Avx512")
                                      : std::string("Avx512BFloat16");
                         });

}  // namespace
}  // namespace tome::kernels::cpu
