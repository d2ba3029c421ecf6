#include "server/ops/torch_threads.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <vector>

namespace tome::ops {
namespace {

TEST(TorchThreadsTest, RunsEveryTaskOnce) {
  at::set_num_threads(2);
  const TorchThreads threads{};
  std::vector<std::atomic<int>> runs(1000);

  threads(1000, [&](int task, int worker) {
    ++runs[task];
    EXPECT_GE(worker, 0);
    EXPECT_LT(worker, threads.workers());
  });

  for (const std::atomic<int>& count : runs) EXPECT_EQ(count, 1);
}

TEST(TorchThreadsTest, RunsTasksAtTheSameTime) {
  at::set_num_threads(2);
  std::latch both(2);

  // Each task ends when the other one has begun: on one thread this would never return.
  TorchThreads()(2, [&](int, int) { both.arrive_and_wait(); });
}

TEST(TorchThreadsTest, HasAsManyWorkersAsTorchHasThreads) {
  for (const int threads : {1, 3}) {
    at::set_num_threads(threads);

    EXPECT_EQ(TorchThreads().workers(), threads);
  }
}

TEST(TorchThreadsTest, DoesNothingForNoTasks) {
  TorchThreads()(0, [](int, int) { FAIL(); });
}

}  // namespace
}  // namespace tome::ops
