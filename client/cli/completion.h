#ifndef TOME_CLIENT_CLI_COMPLETION_H_
#define TOME_CLIENT_CLI_COMPLETION_H_

#include <string>
#include <vector>

// Scripts by which shells complete the command line.

namespace tome::client {

enum class ValueKind { kNone, kFile, kOther };

struct OptionWords {
  std::string name;  // with its dashes
  std::string description;
  ValueKind value = ValueKind::kNone;
};

struct CommandWords {
  std::string name;
  std::string description;
  std::vector<OptionWords> options;  // its own
};

struct ProgramWords {
  std::vector<OptionWords> options;  // of every command
  std::vector<CommandWords> commands;
};

// To be sourced, or put where the shell looks for completions of `tome`.
std::string BashCompletion(const ProgramWords& program);
std::string ZshCompletion(const ProgramWords& program);
std::string FishCompletion(const ProgramWords& program);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_COMPLETION_H_
