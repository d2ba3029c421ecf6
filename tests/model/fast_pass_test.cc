#include "server/model/fast_pass.h"

#include <ATen/Parallel.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/stack.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "server/merge/merge_schedule.h"
#include "server/model/checkpoint.h"
#include "tests/model/oracle.h"

namespace tome {
namespace {

using ::testing::FloatNear;
using ::testing::Pointwise;

constexpr int kImages = 6;

std::vector<float> Floats(const at::Tensor& tensor) {
  const at::Tensor contiguous = tensor.contiguous();
  const float* data = contiguous.const_data_ptr<float>();
  return {data, data + contiguous.numel()};
}

// Both passes over one checkpoint, and images of noise.
class Model {
 public:
  Model(const std::string& name, c10::ScalarType type)
      : checkpoint_(*OpenCheckpoint(OracleDirectory(name))),
        reference_(checkpoint_.vit(), LoadVitWeights(checkpoint_.tensors, type)),
        fast_(checkpoint_.tensors, type) {
    const Preprocessing& input = checkpoint_.vit().preprocessing;
    std::mt19937 random(1);
    for (int i = 0; i < kImages; ++i) {
      std::vector<uint8_t>& image =
          images_.emplace_back(static_cast<size_t>(input.crop_height) * input.crop_width * 3);
      for (uint8_t& pixel : image) pixel = static_cast<uint8_t>(random());
    }
  }

  // Of the image i % kImages for each schedule i.
  MergePlan Plan(const std::vector<MergeSchedule>& schedules) const {
    std::vector<MergePlan::Image> images;
    const VitDescription& vit = checkpoint_.vit();
    for (const MergeSchedule& schedule : schedules) {
      images.push_back(
          {.tokens = vit.tokens(), .merges_per_block = schedule.PerBlockMerges(vit.blocks)});
    }
    return MergePlan(images, vit.blocks, vit.prefix_tokens());
  }

  FastPassResult Fast(const MergePlan& plan, const std::vector<int>& images, bool want_tokens) {
    std::vector<const uint8_t*> pixels;
    for (const int image : images) pixels.push_back(images_[image].data());
    return fast_.Run(pixels, plan, Pooling(plan), want_tokens);
  }

  PassResult Reference(const MergePlan& plan, const std::vector<int>& images) const {
    const Preprocessing& input = checkpoint_.vit().preprocessing;
    std::vector<at::Tensor> pixels;
    for (const int image : images) {
      pixels.push_back(at::from_blob(const_cast<uint8_t*>(images_[image].data()),
                                     {input.crop_height, input.crop_width, 3},
                                     c10::ScalarType::Byte));
    }
    return reference_.Run(reference_.NormalizePixels(at::stack(pixels)), plan, Pooling(plan));
  }

 private:
  std::vector<VitPooling> Pooling(const MergePlan& plan) const {
    return std::vector<VitPooling>(plan.images(), checkpoint_.vit().pooling);
  }

  Checkpoint checkpoint_;
  ReferencePass reference_;
  FastPass fast_;
  std::vector<std::vector<uint8_t>> images_;
};

std::vector<int> Places(int count) {
  std::vector<int> images;
  for (int i = 0; i < count; ++i) images.push_back(i % kImages);
  return images;
}

// An image's final rows, counted from its first, of its own tokens.
std::vector<int> Group(const FastPassResult& result, const MergePlan& plan, int image) {
  const Segment& start = plan.at(0)[image];
  std::vector<int> group;
  for (int i = start.offset; i < start.offset + start.tokens; ++i) {
    group.push_back(result.final_row[i] - plan.at(plan.blocks())[image].offset);
  }
  return group;
}

std::vector<float> RowsOf(const at::Tensor& packed, const MergePlan& plan, int image) {
  const Segment& segment = plan.at(plan.blocks())[image];
  return Floats(packed.narrow(0, segment.offset, segment.tokens));
}

double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double dot = 0.0;
  double norm_a = 0.0;
  double norm_b = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    dot += double{a[i]} * b[i];
    norm_a += double{a[i]} * a[i];
    norm_b += double{b[i]} * b[i];
  }
  return dot / std::sqrt(norm_a * norm_b);
}

std::vector<MergeSchedule> EverySchedule() {
  std::vector<MergeSchedule> schedules;
  for (const OracleSchedule& schedule : OracleSchedules()) schedules.push_back(schedule.schedule);
  return schedules;
}

class FastPassTest : public testing::TestWithParam<std::tuple<std::string, int>> {
 protected:
  void SetUp() override { at::set_num_threads(std::get<1>(GetParam())); }
  static std::string name() { return std::get<0>(GetParam()); }

  const c10::InferenceMode inference_;
};

TEST_P(FastPassTest, AgreesWithTheReferencePassWhateverTheSchedules) {
  Model model(name(), c10::ScalarType::Float);
  const MergePlan plan = model.Plan(EverySchedule());
  const std::vector<int> images = Places(plan.images());

  const FastPassResult fast = model.Fast(plan, images, /*want_tokens=*/true);

  const PassResult reference = model.Reference(plan, images);
  EXPECT_THAT(Floats(fast.tokens), Pointwise(FloatNear(1e-4f), Floats(reference.tokens)));
  EXPECT_EQ(Floats(fast.size), Floats(reference.size));
  for (int i = 0; i < plan.images(); ++i) {
    EXPECT_EQ(Group(fast, plan, i), GroupOfToken(plan, reference.matches, i)) << i;
    EXPECT_THAT(Floats(fast.embeddings[i]),
                Pointwise(FloatNear(1e-4f), Floats(reference.embeddings[i])))
        << i;
  }
}

// In bfloat16 a near tie may fall the other way than in the reference pass.
TEST_P(FastPassTest, KeepsTheDirectionOfTheEmbeddingInBFloat16) {
  Model model(name(), c10::ScalarType::BFloat16);
  const MergePlan plan = model.Plan(EverySchedule());
  const std::vector<int> images = Places(plan.images());

  const FastPassResult fast = model.Fast(plan, images, /*want_tokens=*/true);

  const PassResult reference = model.Reference(plan, images);
  for (int i = 0; i < plan.images(); ++i) {
    const bool same_map = Group(fast, plan, i) == GroupOfToken(plan, reference.matches, i);
    EXPECT_GE(Cosine(Floats(fast.embeddings[i]), Floats(reference.embeddings[i])),
              same_map ? 0.999 : 0.95)
        << i;
  }
}

TEST_P(FastPassTest, GivesAnImageTheSameBitsWhateverItsBatchMates) {
  for (const auto type : {c10::ScalarType::Float, c10::ScalarType::BFloat16}) {
    Model model(name(), type);
    const std::vector<MergeSchedule> schedules = EverySchedule();
    const MergePlan plan = model.Plan(schedules);
    const std::vector<int> images = Places(plan.images());
    const std::vector<MergeSchedule> reversed(schedules.rbegin(), schedules.rend());
    const MergePlan reversed_plan = model.Plan(reversed);
    const std::vector<int> reversed_images(images.rbegin(), images.rend());

    const FastPassResult together = model.Fast(plan, images, /*want_tokens=*/true);
    const FastPassResult backwards = model.Fast(reversed_plan, reversed_images, true);

    for (int i = 0; i < plan.images(); ++i) {
      SCOPED_TRACE(i);
      const MergePlan own_plan = model.Plan({schedules[i]});
      const FastPassResult alone = model.Fast(own_plan, {images[i]}, /*want_tokens=*/true);
      const int mirrored = plan.images() - 1 - i;
      EXPECT_EQ(Floats(together.embeddings[i]), Floats(alone.embeddings[0]));
      EXPECT_EQ(Floats(backwards.embeddings[mirrored]), Floats(alone.embeddings[0]));
      EXPECT_EQ(RowsOf(together.tokens, plan, i), Floats(alone.tokens));
      EXPECT_EQ(RowsOf(together.size, plan, i), Floats(alone.size));
      EXPECT_EQ(Group(together, plan, i), Group(alone, own_plan, 0));
    }
  }
}

TEST_P(FastPassTest, GivesAnEmbeddingTheSameBitsWhetherTokensAreAskedForOrNot) {
  for (const auto type : {c10::ScalarType::Float, c10::ScalarType::BFloat16}) {
    Model model(name(), type);
    const MergePlan plan = model.Plan(EverySchedule());
    const std::vector<int> images = Places(plan.images());

    const FastPassResult with = model.Fast(plan, images, /*want_tokens=*/true);
    const FastPassResult without = model.Fast(plan, images, /*want_tokens=*/false);

    EXPECT_FALSE(without.tokens.defined());
    for (int i = 0; i < plan.images(); ++i) {
      EXPECT_EQ(Floats(without.embeddings[i]), Floats(with.embeddings[i])) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, FastPassTest,
                         testing::Combine(testing::Values("plain", "distilled", "no_prefix",
                                                          "mae_pool"),
                                          testing::Values(1, 2)),
                         [](const auto& model) {
                           return std::get<0>(model.param) +
                                  std::to_string(std::get<1>(model.param)) + "Threads";
                         });

TEST(FastPassWarmUpTest, MultipliesEveryNumberOfRowsThatAPassCan) {
  const c10::InferenceMode inference;
  at::set_num_threads(1);
  const Checkpoint checkpoint = *OpenCheckpoint(OracleDirectory("plain"));

  FastPass(checkpoint.tensors, c10::ScalarType::Float).WarmUp();
}

}  // namespace
}  // namespace tome
