#include "server/lab/ablation.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "server/model/checkpoint.h"

namespace tome {
namespace {

using ::testing::DoubleNear;
using ::testing::Optional;

Checkpoint OracleCheckpoint(const std::string& name) {
  return *OpenCheckpoint(std::filesystem::path(TOME_TEST_DATA).parent_path().parent_path() /
                         "model/testdata" / name);
}

TEST(FiguresTest, FindTheNearestOtherPictureByItsAngle) {
  // Rows 0 and 1 have one direction and two labels; 2 and 3 find each other.
  const at::Tensor embeddings =
      at::tensor({1.0f, 0.0f, 9.0f, 0.1f, 0.0f, 1.0f, 0.1f, 2.0f}).view({4, 2});

  EXPECT_THAT(NearestLabelAccuracy(embeddings, at::tensor({0L, 1L, 1L, 1L})), Optional(0.5));
  EXPECT_EQ(NearestLabelAccuracy(embeddings, at::tensor({1L, 1L, 1L, 1L})), std::nullopt);
}

TEST(FiguresTest, TakeTheCommonMeanAwayFromBoth) {
  // The mean is (1, 1): what is left of the exact rows points left and right, of the others down.
  const at::Tensor exact = at::tensor({0.0f, 1.0f, 2.0f, 1.0f}).view({2, 2});
  const at::Tensor reduced = at::tensor({0.0f, 1.0f, 2.0f, 0.0f}).view({2, 2});

  const AblationRow::Figures figures = FiguresOf(exact, reduced, at::tensor({0L, 1L}));

  EXPECT_NEAR(figures.cosine, (1.0 + 2.0 / std::sqrt(5.0)) / 2.0, 1e-6);
  EXPECT_NEAR(figures.cosine_p5, 2.0 / std::sqrt(5.0), 1e-6);
  EXPECT_NEAR(figures.centred, (1.0 + 1.0 / std::sqrt(2.0)) / 2.0, 1e-6);
  EXPECT_NEAR(figures.centred_p5, 1.0 / std::sqrt(2.0), 1e-6);
}

std::vector<AblationRow> RowsOf(const std::string& model, uint64_t seed) {
  at::set_num_threads(1);
  const Checkpoint checkpoint = OracleCheckpoint(model);
  const VitDescription& vit = checkpoint.vit();
  Ablation ablation(vit, LoadVitWeights(checkpoint.tensors, at::kFloat), {2, 5}, seed);
  at::Generator random = at::detail::createCPUGenerator(3);
  for (const int images : {2, 2, 1}) {
    ablation.Add(
        at::randint(256, {images, vit.preprocessing.crop_height, vit.preprocessing.crop_width, 3},
                    random, at::TensorOptions().dtype(at::kByte)));
  }
  return ablation.Rows(at::tensor({0L, 1L, 0L, 1L, 0L}));
}

TEST(AblationTest, HasARowForNoMergingAndThenForEachVariantAtEachR) {
  const std::vector<AblationRow> rows = RowsOf("plain", 1);

  const size_t variants = VariantsFor(OracleCheckpoint("plain").vit()).size();
  ASSERT_EQ(rows.size(), 1 + 2 * variants);
  EXPECT_EQ(rows[0].variant, "no merging");
  EXPECT_NEAR(rows[0].figures.cosine, 1.0, 1e-6);
  EXPECT_EQ(rows[1].variant, "default");
  EXPECT_EQ(rows[1].r, 2);
  EXPECT_EQ(rows[1 + variants].variant, "default");
  EXPECT_EQ(rows[1 + variants].r, 5);
  std::set<std::string> names;
  for (const AblationRow& row : rows) {
    names.insert(row.variant);
    EXPECT_TRUE(row.not_for_model.empty()) << row.variant;
    EXPECT_TRUE(row.figures.accuracy.has_value()) << row.variant;
    EXPECT_GT(row.milliseconds, row.reduction_milliseconds) << row.variant;
    EXPECT_EQ(row.reduction_milliseconds > 0.0, row.r > 0) << row.variant;
  }
  EXPECT_EQ(names.size(), 1 + variants);
}

TEST(AblationTest, SaysWhatTheModelLacks) {
  for (const AblationRow& row : RowsOf("no_prefix", 1)) {
    const bool needs_class_token = row.variant == "least attended dropped";
    EXPECT_EQ(row.not_for_model, needs_class_token ? "it has no class token" : "") << row.variant;
  }
}

TEST(AblationTest, ComesToTheSameFiguresForTheSameSeed) {
  const std::vector<AblationRow> once = RowsOf("plain", 1);
  const std::vector<AblationRow> again = RowsOf("plain", 1);
  const std::vector<AblationRow> other = RowsOf("plain", 2);

  for (size_t i = 0; i < once.size(); ++i) {
    const std::string& name = once[i].variant;
    EXPECT_EQ(once[i].figures.centred, again[i].figures.centred) << name;
    if (name == "default") {
      EXPECT_EQ(once[i].figures.centred, other[i].figures.centred);
    }
    if (name == "random dropped") {
      EXPECT_NE(once[i].figures.centred, other[i].figures.centred);
    }
  }
}

}  // namespace
}  // namespace tome
