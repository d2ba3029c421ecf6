#include "server/cuda/graph_cache.h"

#include <gtest/gtest.h>

namespace tome::cuda {
namespace {

GraphExec EmptyGraph() {
  const Stream stream = MakeStream();
  GraphCapture capture(stream.get());
  return capture.Finish();
}

TEST(GraphCacheTest, APlanIsWorthAGraphWhenItComesASecondTime) {
  GraphCache cache(2);

  EXPECT_FALSE(cache.ComesAgain({1}));
  EXPECT_FALSE(cache.ComesAgain({2}));
  EXPECT_TRUE(cache.ComesAgain({1}));
}

TEST(GraphCacheTest, LetsGoWhatWasFoundLongestAgo) {
  GraphCache cache(2);
  EXPECT_EQ(cache.Add({1}, EmptyGraph()), nullptr);
  EXPECT_EQ(cache.Add({2}, EmptyGraph()), nullptr);
  EXPECT_NE(cache.Find({1}), nullptr);

  EXPECT_NE(cache.Add({3}, EmptyGraph()), nullptr);

  EXPECT_NE(cache.Find({1}), nullptr);
  EXPECT_EQ(cache.Find({2}), nullptr);
  EXPECT_NE(cache.Find({3}), nullptr);
  EXPECT_EQ(cache.size(), 2u);
}

TEST(GraphCacheTest, ForgetsAPlanThatDoesNotComeAgainForLong) {
  GraphCache cache(1);
  EXPECT_FALSE(cache.ComesAgain({0}));
  for (int other = 1; other <= 8; ++other) EXPECT_FALSE(cache.ComesAgain({other}));

  EXPECT_FALSE(cache.ComesAgain({0}));
  EXPECT_TRUE(cache.ComesAgain({8}));
}

TEST(GraphCacheTest, WithoutRoomForGraphsNothingComesAgain) {
  GraphCache cache(0);

  EXPECT_FALSE(cache.ComesAgain({1}));
  EXPECT_FALSE(cache.ComesAgain({1}));
}

TEST(GraphCaptureTest, ARecordingThatIsGivenUpLeavesTheStreamUsable) {
  const Stream stream = MakeStream();
  { const GraphCapture given_up(stream.get()); }

  EXPECT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
}

}  // namespace
}  // namespace tome::cuda
