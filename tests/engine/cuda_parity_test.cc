// The CUDA engine against the CPU's reference pass, every family: on the host shim by default, on a
// GPU where there is one.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "server/engine/cuda_engine.h"
#include "server/engine/reference_check.h"
#include "server/engine/self_test.h"
#include "server/engine/torch_engine.h"
#include "tests/cuda/test_table.h"
#include "tests/engine/test_families.h"

namespace tome {
namespace {

std::vector<std::string> FamilyNames() {
  std::vector<std::string> names;
  for (const TestFamily& family : TestFamilies()) names.push_back(family.name);
  return names;
}

TestCheckpoint FamilyNamed(const std::string& name) {
  for (TestFamily& family : TestFamilies()) {
    if (family.name == name) return family.checkpoint;
  }
  return {};
}

double RelativeError(const std::vector<float>& values, const std::vector<float>& wanted) {
  EXPECT_EQ(values.size(), wanted.size());
  double difference = 0;
  double size = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    difference += (double{values[i]} - wanted[i]) * (double{values[i]} - wanted[i]);
    size += double{wanted[i]} * wanted[i];
  }
  return std::sqrt(difference / size);
}

class CudaParityTest : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  void SetUp() override {
    if (*cuda::WhyNoDevice() != 0) GTEST_SKIP() << cuda::WhyNoDevice();
    FamilyNamed(std::get<0>(GetParam())).Write(directory_);
    reference_ = *LoadTorchEngine({.directory = directory_.path()});
    checkpoint_ = std::make_unique<Checkpoint>(*OpenCheckpoint(directory_.path()));
    auto engine = LoadCudaEngine(cuda::TestTable(), *checkpoint_,
                                 {.dtype = std::get<1>(GetParam()), .max_images = 4});
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Engine> reference_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(CudaParityTest, AgreesWithTheReferencePass) {
  const ModelFacts& facts = engine_->facts();
  const std::vector<uint8_t> first = ProceduralImage(facts, 0);
  const std::vector<uint8_t> second = ProceduralImage(facts, 1);
  const std::vector<int> none = {0, 0};
  const std::vector<int> some = {3, 2};
  const std::vector<int> most = {100, 100};
  const std::vector<EngineImage> images = {
      {.pixels = first, .merges_per_block = none, .want_tokens = true, .want_merge_map = true},
      {.pixels = second, .merges_per_block = some, .want_tokens = true, .want_merge_map = true},
      {.pixels = first, .merges_per_block = most, .want_tokens = true, .want_merge_map = true}};

  const auto own = engine_->Run(images);
  const auto wanted = reference_->Run(images);

  const bool is_float32 = facts.dtype == "float32";
  for (size_t i = 0; i < images.size(); ++i) {
    ASSERT_TRUE(own[i].ok()) << own[i].status();
    ASSERT_TRUE(wanted[i].ok()) << wanted[i].status();
    EXPECT_EQ(own[i]->merged_per_block, wanted[i]->merged_per_block);
    // A half type may merge another of two nearly equal pairs.
    const double most_error = is_float32 ? 1e-4 : i == 0 ? 0.03 : 1.0;
    EXPECT_LT(RelativeError(own[i]->embedding, wanted[i]->embedding), most_error) << "image " << i;
    if (!is_float32 && i > 0) continue;
    EXPECT_LT(RelativeError(own[i]->tokens, wanted[i]->tokens), most_error) << "image " << i;
    EXPECT_EQ(own[i]->merge_map->group_of_patch, wanted[i]->merge_map->group_of_patch);
    EXPECT_EQ(own[i]->merge_map->size, wanted[i]->merge_map->size);
  }
}

TEST_P(CudaParityTest, PassesTheSelfTestOfEveryStart) {
  EXPECT_EQ(SelfTest(*engine_), absl::OkStatus());
}

INSTANTIATE_TEST_SUITE_P(Families, CudaParityTest,
                         ::testing::Combine(::testing::ValuesIn(FamilyNames()),
                                            ::testing::Values("float32", "float16", "bfloat16")),
                         [](const auto& type) {
                           return std::get<0>(type.param) + "_" + std::get<1>(type.param);
                         });

}  // namespace
}  // namespace tome
