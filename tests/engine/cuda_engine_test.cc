// The CUDA engine as the rooms above see it, on the host shim.

#include "server/engine/cuda_engine.h"

#include <cuda_shim.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "server/engine/cuda_module.h"
#include "server/engine/self_test.h"
#include "tests/cuda/test_table.h"
#include "tests/model/test_checkpoint.h"

namespace tome {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CudaEngineTest : public ::testing::Test {
 protected:
  ~CudaEngineTest() override {
    cuda_shim::FailCalls(cudaSuccess);
    cuda_shim::SetDevice({});
  }

  absl::StatusOr<std::unique_ptr<Engine>> TryLoad(const CudaEngineOptions& options) {
    stored_.Write(directory_);
    checkpoint_ = std::make_unique<Checkpoint>(*OpenCheckpoint(directory_.path()));
    return LoadCudaEngine(cuda::TestTable(), *checkpoint_, options);
  }
  std::unique_ptr<Engine> Load() {
    auto engine = TryLoad({.max_images = 4});
    EXPECT_TRUE(engine.ok()) << engine.status();
    return *std::move(engine);
  }

  TemporaryDirectory directory_;
  TestCheckpoint stored_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

TEST_F(CudaEngineTest, TellsItsDeviceAndThatItOverlapsRuns) {
  const auto engine = TryLoad({.device = 0, .dtype = "bfloat16", .max_images = 4});

  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_EQ((*engine)->facts().device, "cuda:0");
  EXPECT_EQ((*engine)->facts().dtype, "bfloat16");
  EXPECT_EQ((*engine)->facts().concurrent_runs, 2);
  EXPECT_FALSE((*engine)->lost());
}

TEST_F(CudaEngineTest, GivesEachImageWhatItAskedFor) {
  const std::unique_ptr<Engine> engine = Load();
  const std::vector<uint8_t> pixels = ProceduralImage(engine->facts(), 0);
  const std::vector<int> merges = {100, 2};
  const std::vector<EngineImage> images = {
      {.pixels = pixels, .merges_per_block = merges},
      {.pixels = pixels, .merges_per_block = merges, .want_tokens = true, .want_merge_map = true}};

  const auto results = engine->Run(images);

  ASSERT_TRUE(results[0].ok()) << results[0].status();
  ASSERT_TRUE(results[1].ok()) << results[1].status();
  EXPECT_THAT(results[0]->merged_per_block, ElementsAre(8, 2));
  EXPECT_TRUE(results[0]->tokens.empty());
  EXPECT_FALSE(results[0]->merge_map.has_value());
  EXPECT_EQ(results[1]->tokens.size(), 7u * 32);
  std::vector<float> patches_of_token(7, 0.0f);
  patches_of_token[0] = 1.0f;  // the class token
  for (const int token : results[1]->merge_map->group_of_patch) patches_of_token[token] += 1.0f;
  EXPECT_EQ(results[1]->merge_map->size, patches_of_token);
  EXPECT_EQ(results[1]->embedding, results[0]->embedding);
}

TEST_F(CudaEngineTest, AnEmbeddingThatIsNotFiniteFailsItsImageAlone) {
  // Red enough is beyond float16.
  std::vector<float>& weights = stored_.tensors["patch_embed.proj.weight"].values;
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = i / 16 % 3 == 0 ? 1e4f : 0.0f;
  auto engine = TryLoad({.dtype = "float16", .max_images = 4});
  ASSERT_TRUE(engine.ok()) << engine.status();
  const std::vector<int> merges = {0, 0};
  std::vector<uint8_t> red(16 * 16 * 3, 0);
  std::vector<uint8_t> grey(16 * 16 * 3, 0);
  for (size_t i = 0; i < red.size(); ++i) {
    red[i] = i % 3 == 0 ? 255 : 0;
    // Patch by patch as much above the mean as below it.
    if (i % 3 == 0) grey[i] = i / 3 % 2 == 0 ? 127 : 128;
  }
  const std::vector<EngineImage> images = {{.pixels = red, .merges_per_block = merges},
                                           {.pixels = grey, .merges_per_block = merges}};

  const auto results = (*engine)->Run(images);

  EXPECT_EQ(results[0].status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(results[0].status().message(), "the embedding of this image is not finite");
  EXPECT_TRUE(results[1].ok()) << results[1].status();
}

TEST_F(CudaEngineTest, ALostDeviceAnswersUnavailableFromThenOn) {
  const std::unique_ptr<Engine> engine = Load();
  const std::vector<uint8_t> pixels = ProceduralImage(engine->facts(), 0);
  const std::vector<int> merges = {0, 0};
  const EngineImage image = {.pixels = pixels, .merges_per_block = merges};

  cuda_shim::FailCalls(cudaErrorECCUncorrectable);
  const auto results = engine->Run({&image, 1});

  EXPECT_EQ(results[0].status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(engine->lost());
  EXPECT_EQ(engine->Run({&image, 1})[0].status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(CudaEngineTest, CountsItsPasses) {
  const std::unique_ptr<Engine> engine = Load();
  const std::vector<uint8_t> pixels = ProceduralImage(engine->facts(), 0);
  const std::vector<int> merges = {1, 1};
  const EngineImage image = {.pixels = pixels, .merges_per_block = merges};

  for (int run = 0; run < 4; ++run) engine->Run({&image, 1});

  EXPECT_EQ(engine->statistics().eager_runs, 2u);
  EXPECT_EQ(engine->statistics().graph_runs, 2u);
}

TEST_F(CudaEngineTest, ATypeThatGpusDoNotComputeInIsNamed) {
  const absl::Status status = TryLoad({.dtype = "int8"}).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("supported: float32, float16, bfloat16"));
}

TEST_F(CudaEngineTest, AStartWithoutEnoughMemoryTellsHowMuchIsMissing) {
  cuda_shim::SetDevice({.memory = size_t{256} << 20});

  const absl::Status status = TryLoad({.max_images = 4}).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("0.25 GiB of 0.25 GiB are free"));
}

TEST(CudaDevicesTest, AreNumberedFromZero) {
  cuda_shim::SetDevice({.count = 3});
  EXPECT_THAT(*CudaDevices(cuda::TestTable(), "cuda"), ElementsAre(0));
  EXPECT_THAT(*CudaDevices(cuda::TestTable(), "cuda:2"), ElementsAre(2));
  EXPECT_THAT(*CudaDevices(cuda::TestTable(), "cuda:all"), ElementsAre(0, 1, 2));
  EXPECT_EQ(CudaDevices(cuda::TestTable(), "cuda:3").status().message(),
            "there is no GPU 3: CUDA sees 3, numbered from 0");
  cuda_shim::SetDevice({.count = 0});
  EXPECT_EQ(CudaDevices(cuda::TestTable(), "cuda").status().message(),
            "this machine has no GPU that CUDA can use");
  cuda_shim::SetDevice({.driver = false});
  EXPECT_THAT(std::string(CudaDevices(cuda::TestTable(), "cuda").status().message()),
              HasSubstr("this machine has no NVIDIA driver, or one that is too old: "));
  cuda_shim::SetDevice({});
}

TEST(OpenCudaModuleTest, AFileThatIsNotThereIsNamed) {
  const absl::Status status = OpenCudaModule("/nowhere/libtome_cuda.so").status();

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nowhere/libtome_cuda.so"));
}

}  // namespace
}  // namespace tome
