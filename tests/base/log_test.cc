#include "server/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tome {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;

std::string Logged(absl::string_view message, std::initializer_list<LogField> fields) {
  testing::internal::CaptureStderr();
  LogInfo(message, fields);
  return testing::internal::GetCapturedStderr();
}

TEST(LogTest, ALineHasLevelMessageAndFields) {
  EXPECT_THAT(Logged("serving", {{"listen", "127.0.0.1:1"}, {"models", 2}}),
              AllOf(HasSubstr(" info serving "), EndsWith("listen=127.0.0.1:1 models=2\n")));
}

TEST(LogTest, AValueCannotBreakTheLine) {
  EXPECT_THAT(Logged("bad", {{"name", "a b\nerror forged=\"1\""}}),
              EndsWith("name=\"a b\\nerror forged=\\\"1\\\"\"\n"));
}

TEST(LogTest, LinesBelowTheLevelAreDropped) {
  testing::internal::CaptureStderr();
  LogDebug("unseen");

  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(LogTest, LevelsAreReadByName) {
  LogLevel level = LogLevel::kInfo;

  EXPECT_TRUE(ParseLogLevel("warning", &level));
  EXPECT_EQ(level, LogLevel::kWarning);
  EXPECT_FALSE(ParseLogLevel("loud", &level));
}

}  // namespace
}  // namespace tome
