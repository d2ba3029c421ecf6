#ifndef TOME_CLIENT_CLI_FAILURES_H_
#define TOME_CLIENT_CLI_FAILURES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

#include "client/cli/json.h"

namespace tome::client {

// A file, or a folder, of which there is no row, and why.
struct FailedFile {
  std::string path;
  absl::Status status;
};

// A list of the files that failed, each with its error; nothing for none. On standard error.
void PrintFailures(const std::vector<FailedFile>& failed);

// [{"path": ..., "error": {...}}, ...].
Json ToJson(const std::vector<FailedFile>& failed);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_FAILURES_H_
