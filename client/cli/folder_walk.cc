#include "client/cli/folder_walk.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace tome::client {
namespace {

namespace fs = std::filesystem;

bool IsPicture(const fs::directory_entry& entry) {
  const std::string extension = absl::AsciiStrToLower(entry.path().extension().string());
  if (extension != ".jpg" && extension != ".jpeg" && extension != ".png" && extension != ".webp")
    return false;
  std::error_code error;
  return entry.is_regular_file(error);
}

// Links to folders are not followed: they may lead in circles.
bool IsFolder(const fs::directory_entry& entry) {
  std::error_code error;
  return !entry.is_symlink(error) && entry.is_directory(error);
}

template <typename Iterator>
void VisitAll(Iterator it, absl::FunctionRef<void(const std::string&)> visit) {
  std::error_code error;
  for (; !error && it != Iterator(); it.increment(error)) {
    if (IsPicture(*it)) visit(it->path().string());
  }
}

}  // namespace

FolderWalk::FolderWalk(std::string folder, bool recursive, size_t most_names)
    : recursive_(recursive), most_names_(most_names) {
  levels_.emplace_back().folder = std::move(folder);
}

std::optional<std::string> FolderWalk::Next() {
  while (!levels_.empty()) {
    Level& level = levels_.back();
    if (level.names.empty() && level.has_more) Read(level);
    if (level.names.empty()) {
      levels_.pop_back();
      continue;
    }
    std::string path = (fs::path(level.folder) / level.names.back()).string();
    level.names.pop_back();
    if (path.back() != '/') return path;
    levels_.emplace_back().folder = std::move(path);
  }
  return std::nullopt;
}

void FolderWalk::Read(Level& level) {
  std::vector<std::string>& names = level.names;  // a heap, the last name on top
  level.has_more = false;
  std::error_code error;
  for (fs::directory_iterator it(level.folder, error), end; !error && it != end;
       it.increment(error)) {
    std::string name = it->path().filename().string();
    if (recursive_ && IsFolder(*it)) {
      name += '/';
    } else if (!IsPicture(*it)) {
      continue;
    }
    if (name <= level.last) continue;
    if (names.size() == most_names_) {
      level.has_more = true;
      if (name > names.front()) continue;
      std::pop_heap(names.begin(), names.end());
      names.pop_back();
    }
    names.push_back(std::move(name));
    std::push_heap(names.begin(), names.end());
  }
  std::sort(names.rbegin(), names.rend());
  if (!names.empty()) level.last = names.front();
  if (error) {
    failed_.push_back({level.folder, absl::PermissionDeniedError(absl::StrCat(
                                         "the folder cannot be read: ", error.message()))});
  }
}

void VisitPictures(const std::string& folder, bool recursive,
                   absl::FunctionRef<void(const std::string&)> visit) {
  std::error_code error;
  if (recursive) {
    VisitAll(fs::recursive_directory_iterator(folder, fs::directory_options::skip_permission_denied,
                                              error),
             visit);
  } else {
    VisitAll(fs::directory_iterator(folder, error), visit);
  }
}

}  // namespace tome::client
