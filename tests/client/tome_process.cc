#include "tests/client/tome_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

namespace tome::client {

// Through a shell, which can set the limit and what to do when it is reached; exec leaves `tome` in
// its place, so that signals find it.
TomeProcess::TomeProcess(const std::string& server, const std::vector<std::string>& arguments,
                         unsigned file_bytes) {
  std::string script = "exec \"$0\" \"$@\"";
  if (file_bytes > 0) {
    // In blocks of 512 bytes.
    script = "trap '' XFSZ; ulimit -f " + std::to_string(file_bytes / 512) + "; " + script;
  }
  std::vector<std::string> words = {"/bin/sh", "-c", script, TOME_BINARY};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::vector<std::string> settings = {"TOME_SERVER=" + server};
  // For sanitizers' options.
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::string(*variable).rfind("TOME_SERVER=", 0) != 0) settings.push_back(*variable);
  }
  std::vector<char*> environment;
  for (std::string& setting : settings) environment.push_back(setting.data());
  environment.push_back(nullptr);
  const std::string out = folder_ / "out";
  const std::string err = folder_ / "err";

  // Only async-signal-safe calls until execve: gRPC's threads may have held any lock at the fork.
  pid_ = fork();
  if (pid_ == 0) {
    const int in_file = open("/dev/null", O_RDONLY);
    const int out_file = open(out.c_str(), O_WRONLY | O_CREAT, 0600);
    const int err_file = open(err.c_str(), O_WRONLY | O_CREAT, 0600);
    if (dup2(in_file, 0) == 0 && dup2(out_file, 1) == 1 && dup2(err_file, 2) == 2) {
      execve(argv[0], argv.data(), environment.data());
    }
    _exit(127);
  }
}

void TomeProcess::Signal(int signal) const { kill(pid_, signal); }

TomeProcess::Result TomeProcess::Wait() {
  int status = 0;
  waitpid(pid_, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, folder_.Read("out"), folder_.Read("err")};
}

}  // namespace tome::client
