#include <exception>
#include <iostream>

#include "client/cli/command_line.h"
#include "client/cli/exit_code.h"

int main(int argc, char** argv) {
  try {
    return tome::client::RunCommandLine(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "tome: " << error.what() << "\n";
    return tome::client::kExitFailed;
  }
}
