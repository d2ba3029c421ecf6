#include "server/lab/training.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/merge/merge_plan.h"
#include "tests/lab/no_augmentation.h"
#include "tests/model/test_checkpoint.h"

namespace tome {
namespace {

using ::testing::HasSubstr;

constexpr int kBlocks = 2;
constexpr int kHeads = 2;
constexpr int kDim = 32;
constexpr int kTokens = 17;
constexpr double kEpsilon = 1e-6;

// What an image's tokens become when a block merges them, as one matrix [tokens after, tokens]: the
// pass merges by rows and indices, this by a product.
at::Tensor MergeMatrix(const TokenMatch& match, const at::Tensor& size) {
  const int tokens = static_cast<int>(size.size(0));
  const std::vector<int> after = RowsAfterMerge(match, tokens, /*prefix_tokens=*/1);
  const int rows = *std::ranges::max_element(after) + 1;
  at::Tensor matrix = at::zeros({rows, tokens}, at::kDouble);
  for (int token = 0; token < tokens; ++token) matrix[after[token]][token] = size[token];
  return matrix / matrix.sum(1, /*keepdim=*/true);
}

// The embedding of one image by the paper's formulas over dense matrices, in double, along the maps
// given.
at::Tensor DenseEmbedding(const std::map<std::string, at::Tensor>& p, const at::Tensor& pixels,
                          const std::vector<TokenMatch>& matches) {
  const auto linear = [&](const std::string& name, const at::Tensor& x) {
    return at::linear(x, p.at(name + ".weight").flatten(1), p.at(name + ".bias"));
  };
  const auto norm = [&](const std::string& name, const at::Tensor& x) {
    return at::layer_norm(x, {kDim}, p.at(name + ".weight"), p.at(name + ".bias"), kEpsilon);
  };
  const at::Tensor patches =
      pixels.view({3, 4, 4, 4, 4}).permute({1, 3, 0, 2, 4}).reshape({16, 48});
  at::Tensor x =
      at::cat({p.at("cls_token")[0], linear("patch_embed.proj", patches)}) + p.at("pos_embed")[0];
  at::Tensor size = at::ones({kTokens}, at::kDouble);
  for (int i = 0; i < kBlocks; ++i) {
    const std::string block = "blocks." + std::to_string(i) + ".";
    const at::Tensor qkv = linear(block + "attn.qkv", norm(block + "norm1", x))
                               .view({-1, 3, kHeads, kDim / kHeads})
                               .permute({1, 2, 0, 3});
    const at::Tensor logits =
        at::matmul(qkv[0], qkv[1].transpose(1, 2)) / std::sqrt(double{kDim} / kHeads) + size.log();
    const at::Tensor values = at::matmul(at::softmax(logits, -1), qkv[2]);
    x = x + linear(block + "attn.proj", values.transpose(0, 1).reshape({-1, kDim}));
    const at::Tensor merge = MergeMatrix(matches[i], size);
    const at::Tensor members = (merge > 0.0).to(at::kDouble);
    x = at::matmul(merge, x);
    size = at::matmul(members, size);
    x = x +
        linear(block + "mlp.fc2", at::gelu(linear(block + "mlp.fc1", norm(block + "norm2", x))));
  }
  return norm("norm", x)[0];
}

class StepGradientTest : public testing::TestWithParam<int> {};

TEST_P(StepGradientTest, IsThatOfAutogradOnTheSameMaps) {
  const int r = GetParam();
  TemporaryDirectory directory;
  TestCheckpoint().Write(directory);
  TrainableVit model = *TrainableVit::Open(directory.path(), at::kCPU);
  constexpr int kImages = 3;
  const MergePlan plan(
      std::vector<MergePlan::Image>(
          kImages, {.tokens = kTokens, .merges_per_block = std::vector<int>(kBlocks, r)}),
      kBlocks, 1);
  at::Generator random = at::detail::createCPUGenerator(2);
  const at::Tensor pixels = at::randn({kImages, 3, 16, 16}, random);
  const at::Tensor direction = at::randn({kImages, kDim}, random);
  const ReferencePass pass(model.vit(), model.Weights(at::kFloat), Attending::kRunsOfEqualImages);

  const PassResult result = pass.Run(pixels, plan);
  at::Tensor loss = at::zeros({});
  for (int i = 0; i < kImages; ++i) loss = loss + (result.embeddings[i] * direction[i]).sum();
  loss.backward();

  std::map<std::string, at::Tensor> wide;
  for (const auto& [name, parameter] : model.parameters()) {
    wide[name] = parameter.detach().to(at::kDouble);
    wide[name].set_requires_grad(true);
  }
  at::Tensor expected = at::zeros({}, at::kDouble);
  for (int i = 0; i < kImages; ++i) {
    std::vector<TokenMatch> matches;
    for (int block = 0; block < kBlocks; ++block) {
      TokenMatch match = result.matches[block][i];
      // A block that merges nothing leaves its match empty.
      if (r == 0) {
        for (int a = 0; a < RowsOfA(kTokens); ++a) match.kept.push_back(a);
      }
      matches.push_back(std::move(match));
    }
    expected =
        expected + (DenseEmbedding(wide, pixels[i].to(at::kDouble), matches) * direction[i]).sum();
  }
  expected.backward();

  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-3);
  for (const auto& [name, parameter] : model.parameters()) {
    const at::Tensor& right = wide.at(name).grad();
    const double error = (parameter.grad() - right).abs().max().item<double>();
    EXPECT_LE(error, 1e-4 * (1.0 + right.abs().max().item<double>())) << name;
  }
}

// 16 patches beside the class token: none merged, some, and as many as there can be.
INSTANTIATE_TEST_SUITE_P(R, StepGradientTest, testing::Values(0, 3, 8),
                         [](const auto& r) { return "r" + std::to_string(r.param); });

constexpr int kLabels = 3;

TrainingOptions SmallTraining() {
  TrainingOptions options;
  options.steps = 6;
  options.batch = 4;
  options.warm_up_steps = 2;
  options.supervised = 1.0;
  options.contrastive = 0.5;
  options.distillation = 0.25;
  options.r = {0, 2, 4};
  options.seed = 9;
  return options;
}

class TrainingTest : public testing::Test {
 protected:
  TrainingTest() { TestCheckpoint().Write(directory_); }
  void SetUp() override { at::set_num_threads(2); }

  Training NewTraining(const TrainingOptions& options = SmallTraining()) const {
    return *Training::Create(*TrainableVit::Open(directory_.path(), at::kCPU), std::nullopt,
                             kLabels, options);
  }

  // Steps until so many are done, each on pictures of its own number.
  static void StepUntil(Training& training, int64_t steps) {
    while (training.steps_done() < steps) {
      at::Generator random = at::detail::createCPUGenerator(training.steps_done());
      const at::Tensor pixels =
          at::randint(256, {4, 20, 20, 3}, random, at::TensorOptions().dtype(at::kByte));
      const at::Tensor labels = at::randint(kLabels, {4}, random);
      ASSERT_TRUE(training.Step(pixels, labels).ok());
    }
  }

  static void ExpectSameWeights(const Training& a, const Training& b) {
    for (const auto& [name, parameter] : a.model().parameters()) {
      EXPECT_TRUE(at::equal(parameter, b.model().parameters().at(name))) << name;
    }
  }

  TemporaryDirectory directory_;
};

TEST_F(TrainingTest, EndsWithTheSameBitsForTheSameSeed) {
  Training first = NewTraining();
  Training second = NewTraining();

  StepUntil(first, 6);
  StepUntil(second, 6);

  ExpectSameWeights(first, second);
}

TEST_F(TrainingTest, GoesOnFromASavedStateToTheWeightsOfAnUnbrokenRun) {
  for (const Algorithm algorithm : {Algorithm::kAdamW, Algorithm::kMuon}) {
    TrainingOptions options = SmallTraining();
    options.algorithm = algorithm;
    Training unbroken = NewTraining(options);
    StepUntil(unbroken, 6);
    Training broken = NewTraining(options);
    StepUntil(broken, 3);
    const std::string path = directory_.Write("state.safetensors", broken.State());

    Training resumed = NewTraining(options);
    ASSERT_TRUE(resumed.Restore(path).ok());
    EXPECT_EQ(resumed.steps_done(), 3);
    StepUntil(resumed, 6);

    ExpectSameWeights(resumed, unbroken);
  }
}

TEST_F(TrainingTest, RefusesAStateOfAnotherModel) {
  const std::string path = directory_.Write("state.safetensors", NewTraining().State());
  TrainingOptions options = SmallTraining();
  options.supervised = 0.0;
  Training other = NewTraining(options);
  Training same = NewTraining();

  EXPECT_TRUE(same.Restore(path).ok());
  EXPECT_TRUE(other.Restore(path).ok());  // what it does not learn is passed over
  const std::string less = directory_.Write("less.safetensors", other.State());
  EXPECT_THAT(same.Restore(less).message(), HasSubstr("label_vectors: this tensor is not of"));
  options.supervised = 1.0;
  options.algorithm = Algorithm::kMuon;
  const std::string by_muon = directory_.Write("muon.safetensors", NewTraining(options).State());
  EXPECT_THAT(same.Restore(by_muon).message(), HasSubstr("square."));
}

TEST_F(TrainingTest, MakesWhatItIsAskedToSmaller) {
  TrainingOptions options = SmallTraining();
  options.steps = 40;
  options.learning_rate = 5e-3;
  options.contrastive = 0.0;
  options.distillation = 0.0;
  options.augmentation = kNoAugmentation;
  Training training = NewTraining(options);
  at::Generator random = at::detail::createCPUGenerator(1);
  const at::Tensor pixels =
      at::randint(256, {4, 20, 20, 3}, random, at::TensorOptions().dtype(at::kByte));
  const at::Tensor labels = at::tensor(std::vector<int64_t>{0, 1, 2, 1});
  double first = 0.0;
  double last = 0.0;

  for (int step = 0; step < 40; ++step) {
    last = training.Step(pixels, labels)->loss;
    if (step == 0) first = last;
  }

  EXPECT_LT(last, 0.5 * first);
}

TEST_F(TrainingTest, MixesLabelsAsItBlendsPictures) {
  TrainingOptions options = SmallTraining();
  options.contrastive = 0.0;
  options.distillation = 0.0;
  options.r = {2};
  options.augmentation = kNoAugmentation;
  at::Generator random = at::detail::createCPUGenerator(1);
  const at::Tensor pixels =
      at::randint(256, {4, 20, 20, 3}, random, at::TensorOptions().dtype(at::kByte));
  const at::Tensor labels = at::tensor(std::vector<int64_t>{0, 1, 2, 1});
  // What the first step draws first.
  constexpr uint64_t kViewsPurpose = 1;
  at::Generator of_views =
      at::detail::createCPUGenerator(SeedOf(options.seed, kViewsPurpose, /*time=*/0));
  const Blending blending = *DrawBlending(1.0, 4, of_views);
  ASSERT_GT(std::abs(blending.share - 0.5), 0.05) << "own and other labels must differ in weight";
  const auto loss = [&](const at::Tensor& pictures, const at::Tensor& their_labels) {
    return NewTraining(options).Step(pictures, their_labels)->loss;
  };
  const double own = loss(Blend(pixels, blending), labels);
  const double other = loss(Blend(pixels, blending), labels.index_select(0, blending.other));
  ASSERT_GT(std::abs(own - other), 0.01);

  options.mixup = 1.0;

  EXPECT_NEAR(loss(pixels, labels), blending.share * own + (1.0 - blending.share) * other, 1e-5);
}

TEST_F(TrainingTest, LearnsInBFloat16AsInFloat32) {
  TrainingOptions options = SmallTraining();
  options.r = {4};
  Training wide = NewTraining(options);
  options.compute_type = at::kBFloat16;
  Training narrow = NewTraining(options);
  const at::Tensor pixels = at::full({4, 20, 20, 3}, 100, at::kByte);
  const at::Tensor labels = at::tensor(std::vector<int64_t>{0, 1, 2, 1});

  const StepReport in_float32 = *wide.Step(pixels, labels);
  const StepReport in_bfloat16 = *narrow.Step(pixels, labels);

  EXPECT_NEAR(in_bfloat16.loss, in_float32.loss, 0.02 * in_float32.loss);
  for (const auto& [name, parameter] : narrow.model().parameters()) {
    EXPECT_EQ(parameter.scalar_type(), at::kFloat) << name;
  }
}

TEST_F(TrainingTest, DrawsTheRsOfItsSetAndReportsThem) {
  TrainingOptions options = SmallTraining();
  options.steps = 20;
  Training training = NewTraining(options);
  std::set<int> drawn;

  for (int step = 0; step < 20; ++step) {
    const StepReport report =
        *training.Step(at::zeros({4, 16, 16, 3}, at::kByte), at::zeros({4}, at::kLong));
    ASSERT_EQ(report.r.size(), 2u);  // two views, because of the contrastive objective
    drawn.insert(report.r.begin(), report.r.end());
  }

  EXPECT_EQ(drawn, (std::set<int>{0, 2, 4}));
}

TEST_F(TrainingTest, PullsTowardsAFrozenTeacher) {
  TestCheckpoint other;
  for (auto& [name, tensor] : other.tensors) {
    for (float& value : tensor.values) value *= 0.5f;
  }
  TemporaryDirectory teacher_directory;
  other.Write(teacher_directory);
  TrainingOptions options = SmallTraining();
  options.steps = 40;
  options.learning_rate = 5e-3;
  options.supervised = 0.0;
  options.contrastive = 0.0;
  options.distillation = 1.0;
  Training training =
      *Training::Create(*TrainableVit::Open(directory_.path(), at::kCPU),
                        *TrainableVit::Open(teacher_directory.path(), at::kCPU), kLabels, options);
  at::Generator random = at::detail::createCPUGenerator(1);
  const at::Tensor pixels =
      at::randint(256, {4, 20, 20, 3}, random, at::TensorOptions().dtype(at::kByte));
  double first = 0.0;
  double last = 0.0;

  for (int step = 0; step < 40; ++step) {
    last = *training.Step(pixels, at::zeros({4}, at::kLong))->distillation;
    if (step == 0) first = last;
  }

  EXPECT_LT(last, 0.5 * first);
}

TEST_F(TrainingTest, TellsWhichOptionDoesNotFit) {
  const auto status = Training::Create(*TrainableVit::Open(directory_.path(), at::kCPU),
                                       std::nullopt, /*labels=*/1, SmallTraining())
                          .status();

  EXPECT_THAT(status.message(),
              HasSubstr("--supervised: folders are labels, and the pictures are of 1 folder"));
}

TEST(BatchOfTest, TakesEveryPictureOnceAnEpochInAnOrderOfItsOwn) {
  std::vector<std::vector<int64_t>> epochs(2);
  for (int64_t step = 0; step < 6; ++step) {
    const std::vector<int64_t> batch = BatchOf(step, 4, 13, 1);
    epochs[step / 3].insert(epochs[step / 3].end(), batch.begin(), batch.end());
  }

  for (const std::vector<int64_t>& epoch : epochs) {
    EXPECT_EQ(std::set<int64_t>(epoch.begin(), epoch.end()).size(), 12u);
  }
  EXPECT_NE(epochs[0], epochs[1]);
}

}  // namespace
}  // namespace tome
