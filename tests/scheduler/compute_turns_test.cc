#include "server/scheduler/compute_turns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <thread>
#include <vector>

namespace tome {
namespace {

using ::testing::ElementsAre;

TEST(ComputeTurnsTest, GivesTurnsOneAtATimeInTheOrderTheyWereAskedFor) {
  ComputeTurns turns;
  std::optional<ComputeTurns::Turn> held(std::in_place, &turns);
  std::vector<int> order;  // written within a turn only
  std::vector<std::thread> others;
  for (int i = 0; i < 5; ++i) {
    others.emplace_back([&turns, &order, i] {
      const ComputeTurns::Turn turn(&turns);
      order.push_back(i);
    });
    while (turns.asked_for() < i + 2) std::this_thread::yield();
  }
  EXPECT_TRUE(order.empty());

  held.reset();
  for (std::thread& other : others) other.join();

  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(turns.asked_for(), 0);
}

TEST(ComputeTurnsTest, ATurnOfNobodysIsHadAtOnce) {
  const ComputeTurns::Turn first(nullptr);
  const ComputeTurns::Turn second(nullptr);
}

}  // namespace
}  // namespace tome
