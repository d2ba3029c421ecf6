#include "server/config/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace tome {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<FileSection> Parse(const std::string& text) {
  auto sections = ParseConfigFile(text, "f.toml");
  if (!sections.ok()) {
    ADD_FAILURE() << sections.status();
    return {FileSection()};
  }
  return *std::move(sections);
}

std::string ErrorOf(const std::string& text) {
  return std::string(ParseConfigFile(text, "f.toml").status().message());
}

TEST(ParseConfigFileTest, AnEmptyTextIsOneEmptySection) {
  const std::vector<FileSection> sections = Parse("");

  ASSERT_EQ(sections.size(), 1u);
  EXPECT_THAT(sections[0].name, IsEmpty());
  EXPECT_THAT(sections[0].settings, IsEmpty());
}

TEST(ParseConfigFileTest, ReadsNumbersStringsAndListsWithTheirLines) {
  const std::vector<FileSection> sections = Parse(
      "# prose = 1\r\n"
      "a = 12\n"
      "\n"
      "  b-c = \"x # y\"  # a comment\n"
      "d=[\"p\", # first\n"
      "   \"q\",\n"
      "]\n"
      "e = -3\n"
      "f = \"\"");

  const std::vector<FileSetting>& settings = sections.at(0).settings;
  ASSERT_EQ(settings.size(), 5u);
  EXPECT_EQ(settings[0].key, "a");
  EXPECT_THAT(settings[0].values, ElementsAre("12"));
  EXPECT_EQ(settings[0].line, 2);
  EXPECT_EQ(settings[1].key, "b-c");
  EXPECT_THAT(settings[1].values, ElementsAre("x # y"));
  EXPECT_EQ(settings[1].line, 4);
  EXPECT_THAT(settings[2].values, ElementsAre("p", "q"));
  EXPECT_EQ(settings[2].line, 5);
  EXPECT_THAT(settings[3].values, ElementsAre("-3"));
  EXPECT_EQ(settings[3].line, 8);
  EXPECT_THAT(settings[4].values, ElementsAre(""));
}

TEST(ParseConfigFileTest, ASectionsNameMayBeQuoted) {
  const std::vector<FileSection> sections =
      Parse("[model.a]\nx = 1\n\n[ model . \"b.c\" ] # two\ny = 2\n");

  ASSERT_EQ(sections.size(), 3u);
  EXPECT_THAT(sections[1].name, ElementsAre("model", "a"));
  EXPECT_EQ(sections[1].line, 1);
  EXPECT_EQ(sections[1].settings.at(0).key, "x");
  EXPECT_THAT(sections[2].name, ElementsAre("model", "b.c"));
  EXPECT_EQ(sections[2].line, 4);
  EXPECT_EQ(sections[2].settings.at(0).line, 5);
}

TEST(ParseConfigFileTest, AQuotedValueComesBackAsItWas) {
  const std::string value = "C:\\models \"best\" # 1";

  const std::vector<FileSection> sections = Parse("a = " + QuoteForConfigFile(value));

  EXPECT_THAT(sections.at(0).settings.at(0).values, ElementsAre(value));
}

TEST(ParseConfigFileTest, AnErrorNamesFileLineAndRemedy) {
  EXPECT_EQ(ErrorOf("a = 1\nb = cpu\n"),
            "f.toml:2: a value is a whole number or text in double quotes");
  EXPECT_EQ(ErrorOf("a = 1\n\na = 2\n"), "f.toml:3: a is already on line 1");
  EXPECT_EQ(ErrorOf("[m.a]\n[m.b]\n[m.a]\n"), "f.toml:3: section [m.a] is already on line 1");
  EXPECT_EQ(ErrorOf("listen \"x\"\n"), "f.toml:1: expected = after listen");
  EXPECT_EQ(ErrorOf("a = \"x\ny\"\n"), "f.toml:1: a string lacks its closing \"");
  EXPECT_EQ(ErrorOf("a = \"x\\n\"\n"),
            "f.toml:1: a backslash in a string must be followed by \" or \\");
  EXPECT_EQ(ErrorOf("a = [\"x\" \"y\"]\n"), "f.toml:1: expected , or ] in a list");
  EXPECT_EQ(ErrorOf("a = 1 b = 2\n"), "f.toml:1: unexpected text after the value or section");
}

TEST(ParseConfigFileTest, NothingElseIsTaken) {
  for (const char* text : {"a",
                           "a =",
                           "= 1",
                           "a = 1.5",
                           "a = 1s",
                           "a = 30s",
                           "a = 127.0.0.1:1",
                           "a = true",
                           "a = -",
                           "a = 'x'",
                           "a = \"x",
                           "a = \"\\",
                           "a = [",
                           "a = [1",
                           "a = [,]",
                           "[",
                           "[]",
                           "[m",
                           "[m.]",
                           "[m.a",
                           "[[m]]",
                           "[m.a]]",
                           "[m a]",
                           "a.b = 1",
                           "a = {}",
                           "\"a = 1",
                           "\xef\xbb\xbf"
                           "a = 1"}) {
    EXPECT_FALSE(ParseConfigFile(text, "f.toml").ok()) << text;
  }
}

}  // namespace
}  // namespace tome
