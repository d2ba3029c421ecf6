#include "server/base/available_cores.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace tome {
namespace {

class AvailableCoresTest : public testing::Test {
 protected:
  AvailableCoresTest()
      : root_(std::filesystem::path(testing::TempDir()) /
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(root_);
    Write("membership", "0::/pods/server\n");
  }
  ~AvailableCoresTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }

  int Cores() { return AvailableCores({.membership = root_ / "membership", .root = root_}); }

  static int AffinityCores() {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    EXPECT_EQ(sched_getaffinity(0, sizeof(cores), &cores), 0);
    return CPU_COUNT(&cores);
  }

 private:
  const std::filesystem::path root_;
};

TEST_F(AvailableCoresTest, AreThoseOfTheAffinityMaskWithoutQuota) {
  Write("pods/server/cpu.max", "max 100000\n");

  EXPECT_EQ(Cores(), AffinityCores());
}

TEST_F(AvailableCoresTest, FollowTheAffinityMask) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int core = 0; core < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++core) {
    if (CPU_ISSET(core, &before)) CPU_SET(core, &one);
  }

  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  const int cores = Cores();
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);

  EXPECT_EQ(cores, 1);
}

TEST_F(AvailableCoresTest, AreNoMoreThanTheQuotaOfTheGroup) {
  Write("pods/server/cpu.max", "199999 100000\n");

  EXPECT_EQ(Cores(), 1);
}

TEST_F(AvailableCoresTest, AreNoMoreThanTheQuotaOfAGroupAbove) {
  Write("pods/server/cpu.max", "max 100000\n");
  Write("pods/cpu.max", "100000 100000\n");

  EXPECT_EQ(Cores(), 1);
}

TEST_F(AvailableCoresTest, AreNoMoreThanTheQuotaOfTheRootAsAContainerSeesIt) {
  Write("membership", "0::/\n");
  Write("cpu.max", "150000 100000\n");

  EXPECT_EQ(Cores(), 1);
}

TEST_F(AvailableCoresTest, AreAtLeastOne) {
  Write("pods/server/cpu.max", "10000 100000\n");

  EXPECT_EQ(Cores(), 1);
}

TEST_F(AvailableCoresTest, AreThoseOfTheAffinityMaskWhereNothingIsKnownOfGroups) {
  EXPECT_EQ(AvailableCores({.membership = "", .root = ""}), AffinityCores());
}

}  // namespace
}  // namespace tome
