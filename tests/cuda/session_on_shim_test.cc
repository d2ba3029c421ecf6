// What only the host shim's device can be made to do.

#include <cuda_runtime_api.h>
#include <cuda_shim.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/cuda/test_model.h"

namespace tome::cuda {
namespace {

using ::testing::HasSubstr;

const TestImage kExact = {.seed = 1};
const TestImage kMerged = {.seed = 2, .merges_per_block = {5, 4, 3}};

// Every test has the shim's device to itself, as the module leaves it.
class SessionOnShimTest : public ::testing::Test {
 protected:
  ~SessionOnShimTest() override {
    cuda_shim::FailCalls(cudaSuccess);
    cuda_shim::SetDevice({});
  }

  static Options MakeOptions() {
    return {.max_images = 4, .max_concurrent_runs = 2, .max_graphs = 2};
  }
};

TEST_F(SessionOnShimTest, NothingIsAllocatedAfterTheStart) {
  const TestSession session(TestModel(), MakeOptions());
  size_t free_before = 0;
  size_t total = 0;
  cudaMemGetInfo(&free_before, &total);

  session.Run({kMerged, kMerged, kExact, kExact}, {.tokens = true, .merge_map = true});

  size_t free_after = 0;
  cudaMemGetInfo(&free_after, &total);
  EXPECT_EQ(free_after, free_before);
}

TEST_F(SessionOnShimTest, ALostDeviceIsToldFromAFailedCall) {
  const TestSession session(TestModel(), MakeOptions());
  ASSERT_EQ(session.Run({kExact}).code, Code::kOk);

  cuda_shim::FailCalls(cudaErrorLaunchFailure);
  EXPECT_EQ(session.Run({kExact}).code, Code::kDeviceLost);
  cuda_shim::FailCalls(cudaSuccess);

  const TestResults too_many = session.Run(std::vector<TestImage>(5, kExact));
  EXPECT_EQ(too_many.code, Code::kInvalidArgument);
  EXPECT_EQ(too_many.message, "images: 5 is outside [1, 4]");
}

TEST_F(SessionOnShimTest, ALoadThatFailsAnywhereLeavesNothingOnTheDevice) {
  Code code = Code::kFailed;
  int calls = 0;
  for (int good_calls = 0; code != Code::kOk; good_calls += 1 + good_calls / 4) {
    calls = 0;
    cuda_shim::FailCallsOf([&calls, good_calls](int) {
      return calls++ < good_calls ? cudaSuccess : cudaErrorLaunchFailure;
    });

    code = TestSession(TestModel(), MakeOptions()).code();

    size_t free = 0;
    size_t total = 0;
    cudaMemGetInfo(&free, &total);
    EXPECT_EQ(free, total) << "after " << good_calls << " calls";
  }
}

TEST_F(SessionOnShimTest, DescribesTheAlgorithmOfEachLinearLayer) {
  const TestSession session(TestModel(), MakeOptions());

  // The shim proposes first what splits a sum.
  EXPECT_THAT(session.description(), HasSubstr("linear 64 -> 192: algorithm 3,"));
  EXPECT_THAT(session.description(), HasSubstr("linear 96 -> 64, adds: algorithm 3,"));
}

TEST(ModuleTest, GivesItsTableOnlyToItsOwnVersion) {
  EXPECT_NE(tome_cuda_module(kModuleVersion), nullptr);
  EXPECT_EQ(tome_cuda_module(kModuleVersion + 1), nullptr);
}

}  // namespace
}  // namespace tome::cuda
