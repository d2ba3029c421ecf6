#ifndef TOME_SERVER_LAB_PICTURE_FOLDER_H_
#define TOME_SERVER_LAB_PICTURE_FOLDER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tome {

// A picture of a folder: where it is, and which label the first folder of its path is.
struct PictureFile {
  std::string path;
  int label = 0;
};

struct PictureFolder {
  std::vector<PictureFile> pictures;  // sorted by path
  // Of the folder's own subfolders, sorted; pictures directly in it have the label "".
  std::vector<std::string> labels;
};

// Every .jpg, .jpeg, .png and .webp file below the directory, symbolic links followed.
// INVALID_ARGUMENT where there is none; errors name the path.
absl::StatusOr<PictureFolder> ListPictures(const std::string& directory);

}  // namespace tome

#endif  // TOME_SERVER_LAB_PICTURE_FOLDER_H_
