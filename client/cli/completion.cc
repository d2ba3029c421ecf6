#include "client/cli/completion.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"

namespace tome::client {
namespace {

// As one word of a shell.
std::string Quoted(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::vector<std::string> Names(const std::vector<OptionWords>& options) {
  std::vector<std::string> names;
  for (const OptionWords& option : options) names.push_back(option.name);
  return names;
}

std::vector<std::string> Names(const std::vector<CommandWords>& commands) {
  std::vector<std::string> names;
  for (const CommandWords& command : commands) names.push_back(command.name);
  return names;
}

// The program's options and every command's that take such a value.
std::vector<std::string> Taking(const ProgramWords& program, ValueKind value) {
  std::vector<std::string> names;
  const auto add = [&](const std::vector<OptionWords>& options) {
    for (const OptionWords& option : options) {
      if (option.value == value) names.push_back(option.name);
    }
  };
  add(program.options);
  for (const CommandWords& command : program.commands) add(command.options);
  return names;
}

std::string ZshSpecification(const OptionWords& option) {
  const std::string description = absl::StrReplaceAll(
      option.description, {{"\\", "\\\\"}, {"[", "\\["}, {"]", "\\]"}, {":", "\\:"}});
  std::string specification = absl::StrCat(option.name, "[", description, "]");
  if (option.value == ValueKind::kFile) specification += ":file:_files";
  if (option.value == ValueKind::kOther) specification += ":value: ";
  return Quoted(specification);
}

}  // namespace

std::string BashCompletion(const ProgramWords& program) {
  std::string script = absl::StrCat(R"(# bash completion of tome
_tome() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command= word words
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in )",
                                    absl::StrJoin(Names(program.commands), "|"),
                                    R"() command=$word; break ;; esac
  done
  case $previous in
    )",
                                    absl::StrJoin(Taking(program, ValueKind::kFile), "|"),
                                    R"()
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return ;;
    )",
                                    absl::StrJoin(Taking(program, ValueKind::kOther), "|"),
                                    R"() return ;;
  esac
  case $command in
)");
  const std::string every = absl::StrJoin(Names(program.options), " ");
  for (const CommandWords& command : program.commands) {
    absl::StrAppend(&script, "    ", command.name, ") words=\"",
                    absl::StrJoin(Names(command.options), " "), " ", every, "\" ;;\n");
  }
  absl::StrAppend(&script, "    *) words=\"", absl::StrJoin(Names(program.commands), " "), " ",
                  every, R"(" ;;
  esac
  if [[ -z $command || $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  else
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  fi
}
complete -F _tome tome
)");
  return script;
}

std::string ZshCompletion(const ProgramWords& program) {
  std::string script = R"(#compdef tome
_tome() {
  local -a every commands
  every=(
)";
  for (const OptionWords& option : program.options) {
    absl::StrAppend(&script, "    ", ZshSpecification(option), "\n");
  }
  absl::StrAppend(&script, "  )\n  commands=(", absl::StrJoin(Names(program.commands), " "),
                  ")\n  case ${${words[2,CURRENT-1]:*commands}[1]} in\n");
  for (const CommandWords& command : program.commands) {
    absl::StrAppend(&script, "    ", command.name, ")\n      _arguments $every \\\n");
    for (const OptionWords& option : command.options) {
      absl::StrAppend(&script, "        ", ZshSpecification(option), " \\\n");
    }
    absl::StrAppend(&script, "        '1: :(", command.name, ")' '*:file:_files' ;;\n");
  }
  absl::StrAppend(&script, "    *)\n      _arguments $every \"1:command:(($commands))\" ;;\n",
                  "  esac\n}\ncompdef _tome tome\n");
  return script;
}

std::string FishCompletion(const ProgramWords& program) {
  std::string script = "# fish completion of tome\n";
  const auto add = [&](absl::string_view condition, const OptionWords& option) {
    absl::StrAppend(&script, "complete -c tome", condition, " -l ", option.name.substr(2),
                    option.value == ValueKind::kFile    ? " -r -F"
                    : option.value == ValueKind::kOther ? " -x"
                                                        : "",
                    " -d ", Quoted(option.description), "\n");
  };
  for (const CommandWords& command : program.commands) {
    absl::StrAppend(&script, "complete -c tome -f -n __fish_use_subcommand -a ", command.name,
                    " -d ", Quoted(command.description), "\n");
    const std::string condition =
        absl::StrCat(" -n '__fish_seen_subcommand_from ", command.name, "'");
    for (const OptionWords& option : command.options) add(condition, option);
  }
  for (const OptionWords& option : program.options) add("", option);
  return script;
}

}  // namespace tome::client
