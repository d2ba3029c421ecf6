#ifndef TOME_CLIENT_CLI_INPUT_FILES_H_
#define TOME_CLIENT_CLI_INPUT_FILES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"

#include "client/cli/failures.h"
#include "client/cli/folder_walk.h"

namespace tome::client {

// The files that `paths` name, in their order: a file as it is, whatever its name; of a folder its
// pictures (folder_walk.h). They are looked for as they are asked for, so that memory does not grow
// with the folders. No file is opened.
class InputFiles {
 public:
  InputFiles(std::vector<std::string> paths, bool recursive);

  // The next file's path; nothing behind the last.
  std::optional<std::string> Next();

  // What is not there, cannot be read or holds no pictures, of what Next has passed.
  const std::vector<FailedFile>& failed() const { return failed_; }

 private:
  // Goes to the next of paths_: its path if it is a file.
  std::optional<std::string> Open(const std::string& path);
  void EndWalk();

  const std::vector<std::string> paths_;
  const bool recursive_;
  size_t opened_ = 0;  // of paths_
  std::optional<FolderWalk> walk_;
  bool walk_found_any_ = false;
  std::vector<FailedFile> failed_;
};

// Gives `visit` the path of each file that InputFiles would give now, in no order and much faster.
void VisitInputFiles(const std::vector<std::string>& paths, bool recursive,
                     absl::FunctionRef<void(const std::string&)> visit);

// A file's bytes. INVALID_ARGUMENT, before it is read, for one of more than `limit` bytes (0: no
// limit).
absl::StatusOr<std::string> ReadImageFile(const std::string& path, uint64_t limit);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_INPUT_FILES_H_
