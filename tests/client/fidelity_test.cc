#include "client/cli/fidelity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace tome::client {
namespace {

using ::testing::ElementsAre;

TEST(FidelityTest, IsTheMeanCosineAndThatOfOneInTwenty) {
  Vectors exact(40, {1.0f, 0.0f});
  Vectors merged = exact;
  merged[3] = {0.0f, 1.0f};
  merged[4] = {3.0f, 4.0f};

  const Fidelity fidelity = FidelityOf(exact, merged);

  EXPECT_NEAR(fidelity.mean, (38.0 + 0.6) / 40.0, 1e-6);
  EXPECT_NEAR(fidelity.p5, 1.0, 1e-6);
  merged[5] = {0.0f, 1.0f};
  EXPECT_NEAR(FidelityOf(exact, merged).p5, 0.6, 1e-6);  // two of 40 are lower
}

TEST(FidelityTest, IsNotFlatteredByWhatAllEmbeddingsShareOnceItIsCentred) {
  // A large part in common, and a small one that the merged embeddings have the wrong way round.
  const Vectors exact = {{10.0f, 1.0f}, {10.0f, -1.0f}};
  const Vectors merged = {{10.0f, -1.0f}, {10.0f, 1.0f}};

  const Fidelity fidelity = FidelityOf(exact, merged);

  EXPECT_GT(fidelity.mean, 0.97);
  EXPECT_NEAR(fidelity.centred_mean, -1.0, 1e-6);
  EXPECT_NEAR(fidelity.centred_p5, -1.0, 1e-6);
}

// Angles in degrees.
Vectors Directions(const std::vector<double>& angles) {
  Vectors vectors;
  for (const double angle : angles) {
    const double radians = angle * M_PI / 180.0;
    vectors.push_back(
        {static_cast<float>(std::cos(radians)), static_cast<float>(std::sin(radians))});
  }
  return vectors;
}

TEST(NearestOthersTest, GivesTheNearestFirstWithoutTheRowItself) {
  const Vectors vectors = Directions({0.0, 10.0, 40.0, 45.0});

  EXPECT_THAT(NearestOthers(vectors, 2), ElementsAre(ElementsAre(1, 2), ElementsAre(0, 2),
                                                     ElementsAre(3, 1), ElementsAre(2, 1)));
  EXPECT_THAT(NearestOthers(vectors, 10).front(), ElementsAre(1, 2, 3));
}

TEST(NearestOthersTest, GivesTheLowerOfEqualRowsFirst) {
  EXPECT_THAT(NearestOthers(Directions({0.0, 10.0, 10.0, 10.0}), 2).front(), ElementsAre(1, 2));
}

TEST(NeighbourRecallTest, CountsTheNearestThatStayTheNearest) {
  const Neighbours exact = NearestOthers(Directions({0.0, 10.0, 40.0, 45.0}), 10);
  // The third moves from the fourth to the first two.
  const Neighbours merged = NearestOthers(Directions({0.0, 10.0, 12.0, 45.0}), 10);

  EXPECT_DOUBLE_EQ(NeighbourRecall(exact, exact, 1), 1.0);
  // Nearest before: 1 0 3 2; after: 1 2 1 2.
  EXPECT_DOUBLE_EQ(NeighbourRecall(exact, merged, 1), 0.5);
  EXPECT_DOUBLE_EQ(NeighbourRecall(exact, merged, 10), 1.0);  // there are but three others
}

TEST(NearestLabelAccuracyTest, CountsPicturesWhoseNearestOtherHasTheirLabel) {
  const Neighbours neighbours = NearestOthers(Directions({0.0, 10.0, 40.0, 45.0}), 10);

  EXPECT_DOUBLE_EQ(NearestLabelAccuracy(neighbours, {"a", "a", "b", "b"}), 1.0);
  EXPECT_DOUBLE_EQ(NearestLabelAccuracy(neighbours, {"a", "a", "b", "a"}), 0.5);
}

}  // namespace
}  // namespace tome::client
