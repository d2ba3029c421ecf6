#ifndef TOME_CLIENT_CLI_INPUT_FILES_H_
#define TOME_CLIENT_CLI_INPUT_FILES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tome::client {

// A file, or a folder, of which there is no row, and why.
struct FailedFile {
  std::string path;
  absl::Status status;
};

struct InputFiles {
  std::vector<std::string> files;
  std::vector<FailedFile> failed;  // what is not there or holds no pictures
};

// The files that `paths` name, in their order: a file as it is, whatever its name; of a folder
// those that end in .jpg, .jpeg, .png or .webp (in any case), sorted by path; with `recursive`
// those of its subfolders, too. No file is opened.
InputFiles FindInputFiles(const std::vector<std::string>& paths, bool recursive);

// A file's bytes. INVALID_ARGUMENT, before it is read, for one of more than `limit` bytes (0: no
// limit).
absl::StatusOr<std::string> ReadImageFile(const std::string& path, uint64_t limit);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_INPUT_FILES_H_
