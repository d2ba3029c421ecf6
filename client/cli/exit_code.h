#ifndef TOME_CLIENT_CLI_EXIT_CODE_H_
#define TOME_CLIENT_CLI_EXIT_CODE_H_

namespace tome::client {

// What `tome` exits with. `tome --help` tells the same.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,       // a file failed, the server is not serving, or it refused the command
  kExitUsage = 2,        // the command line is wrong; nothing was sent
  kExitUnreachable = 3,  // no server answered
  kExitInterrupted = 130,
};

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_EXIT_CODE_H_
