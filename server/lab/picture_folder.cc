#include "server/lab/picture_folder.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace tome {
namespace {

constexpr std::array<absl::string_view, 4> kEndings = {".jpg", ".jpeg", ".png", ".webp"};

bool IsPicture(const std::filesystem::path& path) {
  const std::string ending = absl::AsciiStrToLower(path.extension().string());
  return std::ranges::find(kEndings, absl::string_view(ending)) != kEndings.end();
}

std::string LabelOf(const std::filesystem::path& relative) {
  return relative.has_parent_path() ? relative.begin()->string() : "";
}

}  // namespace

absl::StatusOr<PictureFolder> ListPictures(const std::string& directory) {
  namespace fs = std::filesystem;
  std::vector<fs::path> paths;
  std::error_code error;
  fs::recursive_directory_iterator entry(directory, fs::directory_options::follow_directory_symlink,
                                         error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (entry->is_regular_file(error) && IsPicture(entry->path())) paths.push_back(entry->path());
  }
  if (error) {
    return absl::NotFoundError(absl::StrCat("cannot read ", directory, ": ", error.message()));
  }
  if (paths.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory, " holds no .jpg, .jpeg, .png or .webp file"));
  }
  std::ranges::sort(paths);

  PictureFolder folder;
  for (const fs::path& path : paths) {
    folder.labels.push_back(LabelOf(path.lexically_relative(directory)));
  }
  std::vector<std::string> of_picture = folder.labels;
  std::ranges::sort(folder.labels);
  folder.labels.erase(std::unique(folder.labels.begin(), folder.labels.end()), folder.labels.end());
  for (size_t i = 0; i < paths.size(); ++i) {
    const auto label = std::ranges::lower_bound(folder.labels, of_picture[i]);
    folder.pictures.push_back(
        {.path = paths[i].string(), .label = static_cast<int>(label - folder.labels.begin())});
  }
  return folder;
}

}  // namespace tome
