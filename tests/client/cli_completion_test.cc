#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"

#include "tests/client/tome_process.h"
#include "tests/testing/temporary_directory.h"

namespace tome::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The script for a shell, in a file, and what shells make of it.
class CliCompletionTest : public ::testing::Test {
 protected:
  std::string Script(const std::string& shell) const {
    const auto result = TomeProcess::Run("", {"completion", shell});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return folder_.Write("_tome." + shell, result.out);
  }

  // Lines of its standard output.
  static std::vector<std::string> Run(const std::string& command) {
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
    std::string out;
    std::array<char, 4096> part;
    while (fgets(part.data(), part.size(), pipe.get()) != nullptr) out += part.data();
    return absl::StrSplit(out, '\n', absl::SkipEmpty());
  }

  // What bash offers for the last of `words`.
  std::vector<std::string> Bash(const std::string& words) const {
    return Run("bash -c 'source \"" + Script("bash") + "\"; COMP_WORDS=(" + words +
               "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _tome; printf \"%s\\n\" "
               "\"${COMPREPLY[@]}\"'");
  }

  TemporaryDirectory folder_;
};

TEST_F(CliCompletionTest, BashCompletesCommandsAndTheirOptions) {
  EXPECT_THAT(Bash("tome em"), ElementsAre("embed"));
  EXPECT_THAT(Bash("tome embed --re"), ElementsAre("--recursive", "--resume"));
  EXPECT_THAT(Bash("tome --json search --to"), ElementsAre("--top", "--token-file"));
  EXPECT_THAT(Bash("tome compare --res"), IsEmpty());
}

TEST_F(CliCompletionTest, FishCompletesCommandsAndTheirOptions) {
  const std::string script = Script("fish");
  const auto complete = [&](const std::string& line) {
    return Run("HOME=" + folder_.path() + " fish -c 'source " + script + "; complete -C \"" + line +
               "\"' 2>&1");
  };

  EXPECT_THAT(complete("tome em"), ElementsAre("embed\tEmbed pictures: files, or folders of them"));
  EXPECT_THAT(complete("tome embed --resu"),
              ElementsAre("--resume\tGo on with FILE if it is there"));
  EXPECT_THAT(complete("tome models --resu"), IsEmpty());
}

TEST_F(CliCompletionTest, ZshTakesItsScript) {
  const std::string script = Script("zsh");

  EXPECT_THAT(Run("zsh -f -c 'autoload -U compinit; compinit -D -u; source " + script +
                  "; whence -w _tome; echo $_comps[tome]' 2>&1"),
              ElementsAre("_tome: function", "_tome"));
}

TEST_F(CliCompletionTest, AnotherShellIsAUsageError) {
  const auto result = TomeProcess::Run("", {"completion", "tcsh"});

  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("tcsh"));
}

}  // namespace
}  // namespace tome::client
