#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "server/config/options.h"
#include "server/config/server_config.h"
#include "tests/config/temporary_file.h"

// The annotated example that ships in deploy/ says what the program does.

namespace tome {
namespace {

std::string ReadExample() {
  std::ifstream stream(TOME_EXAMPLE_FILE);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

// Takes the # off each line that is a setting or a section, which no blank follows.
std::string Uncommented(const std::string& text) {
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  for (std::string& line : lines) {
    if (line.size() > 1 && line[0] == '#' && (absl::ascii_isalpha(line[1]) || line[1] == '[')) {
      line.erase(0, 1);
    }
  }
  return absl::StrJoin(lines, "\n");
}

TEST(ExampleFileTest, NamesEveryOption) {
  const std::string text = "\n" + ReadExample();

  for (const Option& option : Options()) {
    if (option.repeatable) continue;  // the models are sections
    EXPECT_TRUE(absl::StrContains(text, absl::StrCat("\n#", option.name, " = "))) << option.name;
  }
  EXPECT_TRUE(absl::StrContains(text, "\n#[model.vit-s16]\n"));
  for (const ModelOption& option : ModelOptions()) {
    EXPECT_TRUE(absl::StrContains(text.substr(text.find("#[model.")),
                                  absl::StrCat("\n#", option.name, " = ")))
        << option.name;
  }
}

TEST(ExampleFileTest, ShowsTheDefaults) {
  const TemporaryFile file(Uncommented(ReadExample()));

  const auto command_line = ParseCommandLine({"--config", file.path()}, {});

  ASSERT_TRUE(command_line.ok()) << command_line.status();
  for (const Option& option : Options()) {
    if (option.repeatable) continue;
    EXPECT_EQ(option.show(command_line->config), option.show(ServerConfig())) << option.name;
  }
  ASSERT_EQ(command_line->config.models.size(), 1u);
  EXPECT_EQ(command_line->config.models[0].name, "vit-s16");
}

TEST(ExampleFileTest, ChangesNothingAsItIs) {
  const auto command_line =
      ParseCommandLine({"--model=/m", "--check-config", "--config", TOME_EXAMPLE_FILE}, {});
  const auto without_file = ParseCommandLine({"--model=/m", "--check-config"}, {});

  ASSERT_TRUE(command_line.ok()) << command_line.status();
  EXPECT_EQ(command_line->print_and_exit, without_file->print_and_exit);
}

}  // namespace
}  // namespace tome
