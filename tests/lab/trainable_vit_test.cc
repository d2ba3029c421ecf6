#include "server/lab/trainable_vit.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/stack.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "server/merge/merge_plan.h"
#include "server/model/reference_pass.h"
#include "tests/model/test_checkpoint.h"

namespace tome {
namespace {

// The models of the merging reference results, which have all kinds of prefix and pooling between
// them.
std::string OracleModel(const std::string& name) {
  return std::filesystem::path(TOME_TEST_DATA).parent_path().parent_path() / "model/testdata" /
         name;
}

at::Tensor Pixels(const VitDescription& vit, int images) {
  at::Generator random = at::detail::createCPUGenerator(5);
  return at::randint(256, {images, vit.preprocessing.crop_height, vit.preprocessing.crop_width, 3},
                     random, at::TensorOptions().dtype(at::kByte));
}

at::Tensor Embeddings(const ReferencePass& pass, const std::vector<int>& r) {
  const VitDescription& vit = pass.vit();
  std::vector<MergePlan::Image> images;
  for (const int each : r) {
    images.push_back(
        {.tokens = vit.tokens(), .merges_per_block = std::vector<int>(vit.blocks, each)});
  }
  const at::NoGradGuard no_gradients;
  const at::Tensor pixels = pass.NormalizePixels(Pixels(vit, static_cast<int>(r.size())));
  return at::stack(pass.Run(pixels, MergePlan(images, vit.blocks, vit.prefix_tokens())).embeddings);
}

class TrainableVitTest : public testing::TestWithParam<std::string> {};

TEST_P(TrainableVitTest, ComputesWhatTheServedCheckpointDoes) {
  const Checkpoint checkpoint = *OpenCheckpoint(OracleModel(GetParam()));
  TrainableVit model = *TrainableVit::Open(OracleModel(GetParam()), at::kCPU);
  const ReferencePass served(checkpoint.vit(), LoadVitWeights(checkpoint.tensors, at::kFloat));
  const ReferencePass trained(model.vit(), model.Weights(at::kFloat),
                              Attending::kRunsOfEqualImages);
  const std::vector<int> r = {0, 3, 3, 3, 8};

  const at::Tensor expected = Embeddings(served, r);
  const at::Tensor embeddings = Embeddings(trained, r);

  EXPECT_TRUE(at::allclose(embeddings, expected, 1e-4, 1e-4))
      << (embeddings - expected).abs().max().item<float>();
}

INSTANTIATE_TEST_SUITE_P(Models, TrainableVitTest,
                         testing::Values("plain", "distilled", "no_prefix", "mae_pool",
                                         "registers"),
                         [](const auto& model) { return model.param; });

TEST(SavedVitTest, OpensAgainWithTheChangedParametersAndTheOthersAsTheyWere) {
  TestCheckpoint written;
  written.tensors["head.weight"] = {{2, 32}, std::vector<float>(64, 0.25f)};
  TemporaryDirectory source;
  TemporaryDirectory target;
  written.Write(source);
  TrainableVit model = *TrainableVit::Open(source.path(), at::kCPU);
  model.parameters().at("norm.bias").detach().fill_(0.5);

  ASSERT_TRUE(model.Save(target.path(), StoredFloat::kFloat32).ok());

  const TrainableVit again = *TrainableVit::Open(target.path(), at::kCPU);
  ASSERT_EQ(again.parameters().size(), model.parameters().size());
  for (const auto& [name, parameter] : model.parameters()) {
    EXPECT_TRUE(at::equal(again.parameters().at(name), parameter)) << name;
  }
  const SafetensorsFile file = *SafetensorsFile::Open(target.path() + "/model.safetensors");
  ASSERT_NE(file.Find("head.weight"), nullptr);
  EXPECT_EQ(file.Find("head.weight")->As<float>()[63], 0.25f);
}

TEST(SavedVitTest, RoundsToTheTypeAskedFor) {
  TemporaryDirectory source;
  TemporaryDirectory target;
  TestCheckpoint().Write(source);
  const TrainableVit model = *TrainableVit::Open(source.path(), at::kCPU);

  ASSERT_TRUE(model.Save(target.path(), StoredFloat::kFloat16).ok());

  const TrainableVit again = *TrainableVit::Open(target.path(), at::kCPU);
  for (const auto& [name, parameter] : model.parameters()) {
    EXPECT_TRUE(at::equal(again.parameters().at(name), parameter.to(at::kHalf).to(at::kFloat)))
        << name;
  }
}

}  // namespace
}  // namespace tome
