// What only a GPU can show. Skipped, with a message, where there is none.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "server/engine/cuda_engine.h"
#include "server/engine/reference_check.h"
#include "server/engine/self_test.h"
#include "server/engine/torch_engine.h"
#include "tests/cuda/test_model.h"
#include "tests/cuda/test_table.h"
#include "tests/engine/test_families.h"

namespace tome {
namespace {

constexpr int kThreads = 8;

// ViT-B/16, written once for all cases.
class VitB16OnGpuTest : public ::testing::TestWithParam<std::string> {
 protected:
  static void SetUpTestSuite() {
    if (*cuda::WhyNoDevice() != 0) return;
    directory_ = new TemporaryDirectory;
    VitB16().Write(*directory_);
    checkpoint_ = new Checkpoint(*OpenCheckpoint(directory_->path()));
  }
  static void TearDownTestSuite() {
    delete checkpoint_;
    delete directory_;
  }
  void SetUp() override {
    if (*cuda::WhyNoDevice() != 0) GTEST_SKIP() << cuda::WhyNoDevice();
  }

  static absl::StatusOr<std::unique_ptr<Engine>> Load(const std::string& dtype,
                                                      int max_images = 64) {
    return LoadCudaEngine(cuda::TestTable(), *checkpoint_,
                          {.dtype = dtype, .max_images = max_images});
  }

  static inline TemporaryDirectory* directory_ = nullptr;
  static inline Checkpoint* checkpoint_ = nullptr;
};

// A batch of pictures at several r.
class MixedBatch {
 public:
  MixedBatch(const ModelFacts& facts, int images) {
    for (int i = 0; i < images; ++i) {
      pixels_.push_back(ProceduralImage(facts, i % 7));
      merges_.emplace_back(facts.blocks, std::vector<int>{0, 8, 16, 3}[i % 4]);
    }
    for (int i = 0; i < images; ++i) {
      images_.push_back({.pixels = pixels_[i], .merges_per_block = merges_[i]});
    }
  }
  const std::vector<EngineImage>& images() const { return images_; }

 private:
  std::vector<std::vector<uint8_t>> pixels_;
  std::vector<std::vector<int>> merges_;
  std::vector<EngineImage> images_;
};

TEST_P(VitB16OnGpuTest, AgreesWithTheReferencePassOnTheCpu) {
  const auto engine = Load(GetParam());
  ASSERT_TRUE(engine.ok()) << engine.status();
  const auto reference =
      LoadTorchEngine({.directory = directory_->path(), .compute_threads = kThreads});
  ASSERT_TRUE(reference.ok()) << reference.status();

  EXPECT_EQ(CheckAgainstReference(**engine, **reference), absl::OkStatus());
  if (GetParam() != "float32") return;
  const MixedBatch batch((*engine)->facts(), 4);
  const auto own = (*engine)->Run(batch.images());
  const auto wanted = (*reference)->Run(batch.images());
  for (size_t i = 0; i < own.size(); ++i) {
    ASSERT_TRUE(own[i].ok()) << own[i].status();
    for (size_t j = 0; j < own[i]->embedding.size(); ++j) {
      ASSERT_NEAR(own[i]->embedding[j], wanted[i]->embedding[j], 1e-4) << "image " << i;
    }
  }
}

TEST_P(VitB16OnGpuTest, GivesAnImageTheSameBitsWhateverItsBatchMates) {
  const auto engine = Load(GetParam());
  ASSERT_TRUE(engine.ok()) << engine.status();
  const MixedBatch batch((*engine)->facts(), 64);

  const auto together = (*engine)->Run(batch.images());

  for (const int i : {0, 1, 2, 3, 31, 62, 63}) {
    const auto alone = (*engine)->Run({&batch.images()[i], 1});
    ASSERT_TRUE(alone[0].ok()) << alone[0].status();
    EXPECT_EQ(alone[0]->embedding, together[i]->embedding) << "image " << i;
  }
}

TEST_P(VitB16OnGpuTest, AThousandRunsGiveTheSameBits) {
  const auto engine = Load(GetParam());
  ASSERT_TRUE(engine.ok()) << engine.status();
  const MixedBatch batch((*engine)->facts(), 4);
  const auto first = (*engine)->Run(batch.images());

  for (int run = 0; run < 1000; ++run) {
    const auto again = (*engine)->Run(batch.images());
    for (size_t i = 0; i < first.size(); ++i) {
      ASSERT_TRUE(again[i].ok()) << again[i].status();
      ASSERT_EQ(again[i]->embedding, first[i]->embedding) << "run " << run << ", image " << i;
    }
  }
  EXPECT_GE((*engine)->statistics().graph_runs, 999u);
}

INSTANTIATE_TEST_SUITE_P(Types, VitB16OnGpuTest,
                         ::testing::Values("float32", "float16", "bfloat16"),
                         [](const auto& type) { return type.param; });

// In a process of its own, whose use of the device is over afterwards.
[[noreturn]] void FaultTheDevice() {
  cuda::TestModel model;
  const cuda::TestSession session(model, {.max_images = 2});
  // Rows far outside of all memory.
  const bool lost = session.RunAt(1 << 29).code == cuda::Code::kDeviceLost;
  const bool still_lost = session.Run({{}}).code == cuda::Code::kDeviceLost;
  std::_Exit(lost && still_lost ? 0 : 1);
}

TEST(DeviceOnGpuTest, AFaultLosesTheDeviceForGood) {
  if (*cuda::WhyNoDevice() != 0) GTEST_SKIP() << cuda::WhyNoDevice();
  GTEST_FLAG_SET(death_test_style, "threadsafe");

  EXPECT_EXIT(FaultTheDevice(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace tome
