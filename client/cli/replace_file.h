#ifndef TOME_CLIENT_CLI_REPLACE_FILE_H_
#define TOME_CLIENT_CLI_REPLACE_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

// Files that are there whole or not at all: written beside what they replace, as FILE.new, and then
// put in its place. Links are followed; a device or a pipe is written to as it is.

namespace tome::client {

// Whether ReplaceFile can write there, to be asked before what is to be written costs something.
// INVALID_ARGUMENT names `option` and the system's reason. Changes nothing.
absl::Status CheckReplaceable(absl::string_view option, const std::string& file);

// UNKNOWN, with the system's reason, if it cannot be written: then what was there still is.
absl::Status ReplaceFile(const std::string& file, absl::string_view bytes);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_REPLACE_FILE_H_
