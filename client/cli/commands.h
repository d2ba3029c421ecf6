#ifndef TOME_CLIENT_CLI_COMMANDS_H_
#define TOME_CLIENT_CLI_COMMANDS_H_

#include <CLI/CLI.hpp>

#include "client/cli/connection.h"
#include "client/cli/exit_code.h"

namespace tome::client {

// Each adds one command with its options, which runs once the whole command line is parsed and
// leaves its result in `exit_code`. `global` and `exit_code` outlive the parsing.
void AddEmbedCommand(CLI::App& app, const GlobalOptions& global, ExitCode& exit_code);
void AddCompareCommand(CLI::App& app, const GlobalOptions& global, ExitCode& exit_code);
void AddModelsCommand(CLI::App& app, const GlobalOptions& global, ExitCode& exit_code);
void AddHealthCommand(CLI::App& app, const GlobalOptions& global, ExitCode& exit_code);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_COMMANDS_H_
