#include "server/config/flags.h"

#include <algorithm>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include <CLI/CLI.hpp>

#include "server/config/options.h"
#include "server/config/server_config.h"

// CLI11 reads flags and writes the help, no more: left to it, the --config file would beat the
// environment, and misspelt keys would pass unseen.

namespace tome {
namespace {

constexpr const char* kDescription =
    "Turns images into embedding vectors with vision transformers, made faster by Token Merging.\n"
    "\n"
    "Every option is a flag, a TOME_* environment variable and a key of the --config file: the "
    "name\n"
    "of --max-batch-images is TOME_MAX_BATCH_IMAGES there and max-batch-images here. A flag beats\n"
    "the environment, the environment beats the file, the file beats the default.\n";

constexpr const char* kFooter =
    "A DURATION is written as 500ms, 30s or 5m; BYTES as 20971520, 512KiB or 20MiB.\n"
    "\n"
    "The file is TOML. A section [model.NAME] serves a model, or sets one served otherwise:\n"
    "  [model.vit-s16]\n"
    "  directory = \"/models/vit-s16\"\n"
    "  dtype = \"bfloat16\"\n"
    "  default-r = 8\n"
    "\n"
    "Examples:\n"
    "  tome-server --model /models/vit-s16\n"
    "  tome-server --model small=/models/vit-s16 --model base=/models/vit-b16 --dtype bfloat16\n"
    "  TOME_LISTEN=[::]:50051 tome-server --config tome-server.toml --check-config";

constexpr int kHelpColumn = 38;
constexpr size_t kHelpWidth = 60;

class HelpFormatter final : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(kHelpColumn); }

  std::string make_usage(const CLI::App*, std::string) const override {
    return "\nUsage: tome-server --model [NAME=]DIR [OPTION...]\n";
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    return option->get_expected_max() == 0 ? "" : absl::StrCat(" ", option->get_type_name());
  }
};

std::string WrapLines(absl::string_view text) {
  std::string wrapped;
  size_t line = 0;
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    const bool fits = line + 1 + word.size() <= kHelpWidth;
    if (line > 0) wrapped.push_back(fits ? ' ' : '\n');
    line = (line > 0 && fits ? line + 1 : 0) + word.size();
    absl::StrAppend(&wrapped, word);
  }
  return wrapped;
}

std::string Description(const Option& option) {
  const std::string standard = option.show(ServerConfig());
  return absl::StrCat(WrapLines(option.help), "\n[", standard.empty() ? "none" : standard, "; ",
                      EnvironmentOf(option.name), "]");
}

// The server's flags, which write what they find to `flags`.
std::unique_ptr<CLI::App> MakeApp(Flags& flags) {
  auto app = std::make_unique<CLI::App>(kDescription);
  app->formatter(std::make_shared<HelpFormatter>());
  app->footer(kFooter);
  app->set_help_flag();
  app->allow_extras();
  const auto add = [&](const std::string& name, const std::string& value, const std::string& group,
                       const std::string& description) {
    app->add_option(
           FlagOf(name),
           [&values = flags.values[name]](const CLI::results_t& results) {
             values = results;
             return true;
           },
           description)
        ->group(group)
        ->type_name(value)
        ->expected(1)
        ->take_all()
        ->allow_extra_args(false);
  };
  for (const Option& option : Options()) {
    add(option.name, option.value, option.group, Description(option));
  }
  add("config", "FILE", "The program", "A file of options. [none; TOME_CONFIG]");
  const auto add_switch = [&](const std::string& name, bool& value, const char* description) {
    app->add_flag(name, value, description)->group("The program")->disable_flag_override();
  };
  add_switch("--check-config", flags.check_config,
             "Check everything, print each option with its source, and stop.");
  add_switch("--version", flags.version, "Print the version and stop.");
  add_switch("-h,--help", flags.help, "Print this and stop.");
  return app;
}

std::vector<std::string> FlagNames() {
  std::vector<std::string> names = {"--config", "--check-config", "--version", "--help"};
  for (const Option& option : Options()) names.push_back(FlagOf(option.name));
  return names;
}

}  // namespace

absl::StatusOr<Flags> ParseFlags(const std::vector<std::string>& arguments) {
  // CLI11 takes the last first, and reads the value of "--flag=" from the next argument.
  std::vector<std::string> reversed;
  for (const std::string& argument : arguments) {
    if (absl::StartsWith(argument, "--") && argument.find('=') == argument.size() - 1) {
      reversed.push_back(argument.substr(0, argument.size() - 1));
      reversed.emplace_back();
    } else {
      reversed.push_back(argument);
    }
  }
  std::reverse(reversed.begin(), reversed.end());

  Flags flags;
  const std::unique_ptr<CLI::App> app = MakeApp(flags);
  try {
    app->parse(std::move(reversed));
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(absl::StrCat(error.what(), "; --help lists the flags"));
  }
  if (const std::vector<std::string> unknown = app->remaining(); !unknown.empty()) {
    const std::string name = unknown.front().substr(0, unknown.front().find('='));
    return absl::InvalidArgumentError(absl::StrCat("\"", absl::Utf8SafeCEscape(unknown.front()),
                                                   "\" is no flag", Suggestion(name, FlagNames()),
                                                   "; --help lists the flags"));
  }
  return flags;
}

std::string HelpText() {
  Flags flags;
  // CLI11 parts groups by two empty lines.
  return absl::StrReplaceAll(MakeApp(flags)->help(), {{"\n\n\n", "\n\n"}});
}

}  // namespace tome
