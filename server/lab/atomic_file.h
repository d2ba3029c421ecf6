#ifndef TOME_SERVER_LAB_ATOMIC_FILE_H_
#define TOME_SERVER_LAB_ATOMIC_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tome {

// Whatever kills the process or the machine: the file holds its old bytes or the new ones, whole.
// Errors name the path.
absl::Status WriteFileAtOnce(const std::string& path, absl::string_view bytes);

absl::StatusOr<std::string> ReadWholeFile(const std::string& path);

// The directory and those above it, where they are missing.
absl::Status MakeDirectories(const std::string& path);

}  // namespace tome

#endif  // TOME_SERVER_LAB_ATOMIC_FILE_H_
