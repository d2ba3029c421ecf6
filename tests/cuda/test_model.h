#ifndef TOME_TESTS_CUDA_TEST_MODEL_H_
#define TOME_TESTS_CUDA_TEST_MODEL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "server/cuda/module.h"
#include "server/merge/merge_plan.h"

namespace tome::cuda {

// A small vision transformer of seeded weights: 24 x 24 pixels in patches of 4, a class token, 2
// heads of 32, 3 blocks. Tests change what they are about before they load it.
struct TestModel {
  TestModel();

  // Gives every part seeded values of a trained model's size.
  WeightSource source() const;

  Model model;
};

// One image of a batch.
struct TestImage {
  int seed = 0;
  std::vector<int> merges_per_block = {0, 0, 0};
  Pooling pooling = Pooling::kClassToken;
};

// What a run left.
struct TestResults {
  Code code = Code::kOk;
  std::string message;
  std::vector<std::vector<float>> embeddings;
  std::vector<float> tokens;
  std::vector<float> sizes;
  std::vector<int32_t> groups;
  MergePlan plan = MergePlan({}, 1, 0);
};

struct TestWants {
  bool tokens = false;
  bool merge_map = false;
};

// A loaded session, and runs through the module's table as the server does them.
class TestSession {
 public:
  TestSession(const TestModel& model, const Options& options);
  ~TestSession();
  TestSession(const TestSession&) = delete;
  TestSession& operator=(const TestSession&) = delete;

  TestResults Run(const std::vector<TestImage>& images, TestWants wants = {}) const;
  // Two images, with a plan that is wrong: the first's rows begin at `offset`. For faults.
  TestResults RunAt(int offset) const;
  Statistics statistics() const;
  std::string description() const;

  // How loading went.
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  TestResults RunPlan(const std::vector<TestImage>& images, TestWants wants, const MergePlan& plan,
                      const Segment* segments) const;

  const Table& table_;
  const Model model_;
  Session* session_ = nullptr;
  Code code_;
  std::string message_;
};

}  // namespace tome::cuda

#endif  // TOME_TESTS_CUDA_TEST_MODEL_H_
