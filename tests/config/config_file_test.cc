#include "server/config/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace tome {
namespace {

using testing::ElementsAre;
using testing::FieldsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::StartsWith;

ConfigFile Parse(const std::string& text) {
  auto file = ParseConfigFile(text, "f.toml");
  if (!file.ok()) {
    ADD_FAILURE() << file.status();
    return {};
  }
  return *std::move(file);
}

// The one line that says what is wrong.
std::string ErrorOf(const std::string& text) {
  const auto file = ParseConfigFile(text, "f.toml");
  if (file.ok()) return "no error";
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument) << file.status();
  std::string message(file.status().message());
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  return message;
}

TEST(ParseConfigFileTest, AnEmptyTextSaysNothing) {
  const ConfigFile file = Parse("");

  EXPECT_THAT(file.keys, IsEmpty());
  EXPECT_THAT(file.models, IsEmpty());
}

TEST(ParseConfigFileTest, ReadsNumbersTextAndListsWithTheirLines) {
  const ConfigFile file = Parse(
      "# prose = 1\r\n"
      "a = 1_024\n"
      "\n"
      "  b-c = \"x # y\"  # a comment\n"
      "d=[\"p\", # first\n"
      "   'q',\n"
      "]\n"
      "e = -3\n"
      "f = \"\"");

  EXPECT_THAT(file.keys, ElementsAre(Pair("a", FieldsAre(ElementsAre("1024"), "f.toml:2")),
                                     Pair("b-c", FieldsAre(ElementsAre("x # y"), "f.toml:4")),
                                     Pair("d", FieldsAre(ElementsAre("p", "q"), "f.toml:5")),
                                     Pair("e", FieldsAre(ElementsAre("-3"), "f.toml:8")),
                                     Pair("f", FieldsAre(ElementsAre(""), "f.toml:9"))));
}

TEST(ParseConfigFileTest, ModelsKeepTheOrderOfTheirSections) {
  const ConfigFile file =
      Parse("top = 1\n[model.b]\nx = 1\n\n[ model . \"a.c\" ] # two\ny = 2\n[model.aa]\n");

  ASSERT_EQ(file.models.size(), 3u);
  EXPECT_EQ(file.models[0].name, "b");
  EXPECT_EQ(file.models[0].source, "f.toml:2");
  EXPECT_THAT(file.models[0].keys, ElementsAre(Pair("x", FieldsAre(ElementsAre("1"), "f.toml:3"))));
  EXPECT_EQ(file.models[1].name, "a.c");
  EXPECT_EQ(file.models[1].source, "f.toml:5");
  EXPECT_THAT(file.models[1].keys, ElementsAre(Pair("y", FieldsAre(ElementsAre("2"), "f.toml:6"))));
  EXPECT_EQ(file.models[2].name, "aa");
  EXPECT_THAT(file.models[2].keys, IsEmpty());
}

TEST(ParseConfigFileTest, ASectionMayBeWrittenInAnyWayOfToml) {
  for (const char* text : {"[model.a]\nx = 1", "[model]\na.x = 1", "model.a.x = 1",
                           "model = {a = {x = 1}}", "[model.'a']\nx = 0x1"}) {
    const ConfigFile file = Parse(text);

    ASSERT_EQ(file.models.size(), 1u) << text;
    EXPECT_EQ(file.models[0].name, "a") << text;
    EXPECT_THAT(file.models[0].keys.at("x").values, ElementsAre("1")) << text;
  }
}

TEST(ParseConfigFileTest, AQuotedValueComesBackAsItWas) {
  for (const std::string value :
       {"", "/m", "C:\\models \"best\" # 1", "it's", "'''", "\xc3\xa9t\xc3\xa9"}) {
    const std::string quoted = QuoteForConfigFile(value);

    EXPECT_THAT(quoted, StartsWith("\""));
    EXPECT_THAT(Parse("a = " + quoted).keys.at("a").values, ElementsAre(value));
  }
}

TEST(ParseConfigFileTest, WhatIsNotTomlIsNamedWithItsLineAndTheUsualRemedy) {
  const std::string remedy = " (text needs double quotes; a key or section stands once)";

  EXPECT_EQ(ErrorOf("a = 1\nb = cpu\n"),
            "f.toml:2: Error while parsing value: could not determine value type" + remedy);
  EXPECT_EQ(ErrorOf("a = 1\n\na = 2\nb = 3\n"),
            "f.toml:3: Error while parsing key-value pair: cannot redefine existing integer 'a'" +
                remedy);
  EXPECT_EQ(
      ErrorOf("[m.a]\n[m.b]\n[m.a]\nx = 1\n"),
      "f.toml:3: Error while parsing table header: cannot redefine existing table 'm.a'" + remedy);
  EXPECT_THAT(ErrorOf("listen \"x\"\n"), StartsWith("f.toml:1: "));
  EXPECT_THAT(ErrorOf("a = 30s\n"), StartsWith("f.toml:1: "));
  EXPECT_THAT(ErrorOf("\na = 127.0.0.1:1\n"), StartsWith("f.toml:2: "));
  EXPECT_THAT(ErrorOf("a = \"x\ny\"\n"), StartsWith("f.toml:1: "));
  EXPECT_THAT(ErrorOf("a = '\xff'\n"), StartsWith("f.toml:1: "));
  EXPECT_THAT(ErrorOf("[model.a\nx = 1\n"), StartsWith("f.toml:1: "));
  EXPECT_THAT(ErrorOf("[.a]\nx = 1\n"), StartsWith("f.toml:1: "));
}

TEST(ParseConfigFileTest, AValueOfAnotherTypeIsNamedWithItsKeyAndLine) {
  const std::string remedy = " is not a whole number or text in double quotes";

  EXPECT_EQ(ErrorOf("a = 1\nb = 1.5\n"), "b (f.toml:2): 1.5" + remedy);
  EXPECT_EQ(ErrorOf("a = true\n"), "a (f.toml:1): true" + remedy);
  EXPECT_EQ(ErrorOf("a = 1979-05-27\n"), "a (f.toml:1): 1979-05-27" + remedy);
  EXPECT_EQ(ErrorOf("a = [\n1,\n[2]]\n"), "a (f.toml:3): a list in a list" + remedy);
  EXPECT_EQ(ErrorOf("[[model]]\n"), "model (f.toml:1): a table" + remedy);
  EXPECT_EQ(ErrorOf("[model.a]\nx = nan\n"), "model.a.x (f.toml:2): nan" + remedy);
}

TEST(ParseConfigFileTest, ASectionOfNoModelIsNamedWithItsLine) {
  const std::string remedy =
      "no such section, use [model.NAME], with NAME in double quotes if it has a dot";

  EXPECT_EQ(ErrorOf("[server]\nlisten = \"[::]:1\"\n"), "[server] (f.toml:1): " + remedy);
  EXPECT_EQ(ErrorOf("\nlisten = {port = 1}\n"), "[listen] (f.toml:2): " + remedy);
  EXPECT_EQ(ErrorOf("[model.vit.v2]\ndirectory = \"/a\"\n"),
            "[model.vit.v2] (f.toml:1): " + remedy);
  EXPECT_EQ(ErrorOf("[model]\ndirectory = \"/a\"\n"),
            "model.directory (f.toml:2): is not a section, use [model.NAME]");
}

TEST(ParseConfigFileTest, NoKeyOrNameBreaksALine) {
  EXPECT_THAT(Parse("\"a\\nb\" = 1").keys, ElementsAre(Pair("a\\nb", testing::_)));
  EXPECT_EQ(Parse("[model.\"a\\nb\"]").models.at(0).name, "a\\nb");
  EXPECT_THAT(ErrorOf("\"a\\nb\" = true"), HasSubstr("a\\nb (f.toml:1)"));
  ErrorOf("\"a\\nb\" = 1\n\"a\\nb\" = 1");
  EXPECT_THAT(ErrorOf("a = tru\n"), HasSubstr("expected 'true', saw 'tru '"));
}

}  // namespace
}  // namespace tome
