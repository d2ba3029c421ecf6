#include "server/engine/reference_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "tests/testing/fake_engine.h"

namespace tome {
namespace {

using ::testing::HasSubstr;

// Adds `error` to the first number of each embedding.
class InexactEngine final : public Engine {
 public:
  explicit InexactEngine(float error) : error_(error) {}
  const ModelFacts& facts() const override { return exact_.facts(); }
  std::vector<absl::StatusOr<EmbeddedImage>> Run(std::span<const EngineImage> images) override {
    std::vector<absl::StatusOr<EmbeddedImage>> results = exact_.Run(images);
    for (absl::StatusOr<EmbeddedImage>& result : results) result->embedding[0] += error_;
    return results;
  }

 private:
  FakeEngine exact_;
  const float error_;
};

TEST(ReferenceCheckTest, AnEngineThatComputesTheSamePasses) {
  InexactEngine engine(0.0f);
  FakeEngine reference;

  EXPECT_EQ(CheckAgainstReference(engine, reference), absl::OkStatus());
}

TEST(ReferenceCheckTest, AnEngineThatComputesSomethingElseIsToldApartWithTheCosine) {
  InexactEngine engine(1e6f);
  FakeEngine reference;

  const absl::Status status = CheckAgainstReference(engine, reference);

  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("picture 0 at r=0"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("at least 0.999 is needed"));
}

TEST(ReferenceCheckTest, AnEmbeddingThatIsNoNumberFails) {
  InexactEngine engine(std::numeric_limits<float>::quiet_NaN());
  FakeEngine reference;

  EXPECT_FALSE(CheckAgainstReference(engine, reference).ok());
}

}  // namespace
}  // namespace tome
