#include "server/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace tome {
namespace {

TEST(ThreadPoolTest, RunsEverythingThatWasSubmittedBeforeItEnds) {
  std::atomic<int> ran = 0;
  {
    ThreadPool pool("test", 4);
    for (int i = 0; i < 1000; ++i) pool.Submit([&ran] { ++ran; });
  }

  EXPECT_EQ(ran, 1000);
}

TEST(ThreadPoolTest, OneThreadKeepsTheOrder) {
  std::vector<int> order;
  {
    ThreadPool pool("test", 1);
    for (int i = 0; i < 5; ++i) pool.Submit([&order, i] { order.push_back(i); });
  }

  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(ThreadPoolTest, ARunningTaskMaySubmitAnother) {
  std::atomic<int> ran = 0;
  {
    ThreadPool pool("test", 2);
    pool.Submit([&] { pool.Submit([&ran] { ++ran; }); });
  }

  EXPECT_EQ(ran, 1);
}

}  // namespace
}  // namespace tome
