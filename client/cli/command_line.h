#ifndef TOME_CLIENT_CLI_COMMAND_LINE_H_
#define TOME_CLIENT_CLI_COMMAND_LINE_H_

namespace tome::client {

// Parses the arguments and runs the command that they name. Gives the exit code.
int RunCommandLine(int argc, char** argv);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_COMMAND_LINE_H_
