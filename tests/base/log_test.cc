#include "server/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace tome {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;

std::string Logged(absl::string_view message, std::vector<LogField> fields) {
  testing::internal::CaptureStderr();
  LogInfo(message, std::move(fields));
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

class JsonLogTest : public testing::Test {
 protected:
  JsonLogTest() { SetLogFormat(LogFormat::kJson); }
  ~JsonLogTest() override { SetLogFormat(LogFormat::kText); }
};

TEST_F(JsonLogTest, ALineIsOneObjectWithItsFields) {
  const std::string line =
      Logged("call", {{"method", "Embed"}, {"milliseconds", 12.5}, {"images", 3}});

  const nlohmann::json object = nlohmann::json::parse(line);
  EXPECT_EQ(object["level"], "info");
  EXPECT_EQ(object["message"], "call");
  EXPECT_EQ(object["method"], "Embed");
  EXPECT_EQ(object["milliseconds"], 12.5);
  EXPECT_EQ(object["images"], 3);
  EXPECT_THAT(object["time"].get<std::string>(), testing::MatchesRegex(".*T.*:.*"));
}

TEST_F(JsonLogTest, WhatIsNoJsonOrNoNumberStaysAString) {
  const std::string line = Logged("odd", {{"name", "a\"b\n\xff"},
                                          {"digits", "12"},
                                          {"ratio", std::numeric_limits<double>::infinity()}});

  const nlohmann::json object = nlohmann::json::parse(line);
  EXPECT_EQ(object["name"], "a\"b\n\xEF\xBF\xBD");
  EXPECT_EQ(object["digits"], "12");
  EXPECT_EQ(object["ratio"], "inf");
}

TEST(LogTest, AWarningThatRepeatsIsThinned) {
  testing::internal::CaptureStderr();
  for (int i = 0; i < 1000; ++i) LogWarning("the same again", {{"number", i}});

  const std::string lines = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 10);
}

TEST(LogTest, LinesThatAreNoWarningsAreNotThinned) {
  testing::internal::CaptureStderr();
  for (int i = 0; i < 100; ++i) LogInfo("the same again", {{"number", i}});

  const std::string lines = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 100);
}

TEST(LogTest, LevelsAreReadByName) {
  LogLevel level = LogLevel::kInfo;

  EXPECT_TRUE(ParseLogLevel("warning", &level));
  EXPECT_EQ(level, LogLevel::kWarning);
  EXPECT_FALSE(ParseLogLevel("loud", &level));
}

TEST(LogTest, FormatsAreReadByName) {
  LogFormat format = LogFormat::kText;

  EXPECT_TRUE(ParseLogFormat("json", &format));
  EXPECT_EQ(format, LogFormat::kJson);
  EXPECT_FALSE(ParseLogFormat("xml", &format));
}

}  // namespace
}  // namespace tome
