#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>

#include "client/cli/command_line.h"
#include "client/cli/exit_code.h"

namespace {

int Run(int argc, char** argv) {
  try {
    return tome::client::RunCommandLine(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "tome: " << error.what() << "\n";
    return tome::client::kExitFailed;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int code = Run(argc, argv);
  std::cout.flush();
  std::fflush(nullptr);
  // Not by return: gRPC 1.51's callback threads may still be at work, and abort where the
  // destructors of a process's end take from under them what they use.
  std::_Exit(code);
}
