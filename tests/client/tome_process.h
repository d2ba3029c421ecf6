#ifndef TOME_TESTS_CLIENT_TOME_PROCESS_H_
#define TOME_TESTS_CLIENT_TOME_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/testing/temporary_directory.h"

namespace tome::client {

// The real `tome` binary, run with these arguments and with TOME_SERVER set to `server`.
class TomeProcess {
 public:
  struct Result {
    int exit_code = -1;  // -1: ended by a signal
    std::string out;
    std::string err;
  };

  // Starts it. A file larger than `file_bytes` cannot be written (0: no limit).
  TomeProcess(const std::string& server, const std::vector<std::string>& arguments,
              unsigned file_bytes = 0);
  TomeProcess(const TomeProcess&) = delete;
  TomeProcess& operator=(const TomeProcess&) = delete;

  void Signal(int signal) const;

  // Waits for its end. Call once.
  Result Wait();

  static Result Run(const std::string& server, const std::vector<std::string>& arguments) {
    return TomeProcess(server, arguments).Wait();
  }

 private:
  TemporaryDirectory folder_;  // of its output
  pid_t pid_ = -1;
};

}  // namespace tome::client

#endif  // TOME_TESTS_CLIENT_TOME_PROCESS_H_
