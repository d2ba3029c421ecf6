#ifndef TOME_CLIENT_CLI_FOLDER_WALK_H_
#define TOME_CLIENT_CLI_FOLDER_WALK_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"

#include "client/cli/failures.h"

namespace tome::client {

// The pictures of a folder, which end in .jpg, .jpeg, .png or .webp (in any case), one after the
// other in the order of their paths; with `recursive` those of its subfolders, too. Of each folder
// that it is in at the time it keeps `most_names` names at once: a larger one is read again for
// every so many. No file is opened.
class FolderWalk {
 public:
  static constexpr size_t kMostNames = size_t{1} << 16;

  // REQUIRES: most_names > 0.
  FolderWalk(std::string folder, bool recursive, size_t most_names = kMostNames);

  // The next picture's path; nothing behind the last.
  std::optional<std::string> Next();

  // The folders so far that cannot be read.
  const std::vector<FailedFile>& failed() const { return failed_; }

 private:
  struct Level {
    std::string folder;
    // From the last to the next one. A subfolder's ends in '/', by which it is sorted as the paths
    // of its pictures are.
    std::vector<std::string> names;
    std::string last;  // of those that were read: what follows comes behind it
    bool has_more = true;
  };

  void Read(Level& level);

  const bool recursive_;
  const size_t most_names_;
  std::vector<Level> levels_;  // from the folder to the subfolder that it is in
  std::vector<FailedFile> failed_;
};

// Gives `visit` the path of each picture that a walk of `folder` would find, in no order.
void VisitPictures(const std::string& folder, bool recursive,
                   absl::FunctionRef<void(const std::string&)> visit);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_FOLDER_WALK_H_
