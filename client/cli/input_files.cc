#include "client/cli/input_files.h"

#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tome::client {

namespace fs = std::filesystem;

InputFiles::InputFiles(std::vector<std::string> paths, bool recursive)
    : paths_(std::move(paths)), recursive_(recursive) {}

std::optional<std::string> InputFiles::Next() {
  for (;;) {
    if (walk_.has_value()) {
      std::optional<std::string> picture = walk_->Next();
      walk_found_any_ |= picture.has_value();
      if (picture.has_value()) return picture;
      EndWalk();
    }
    if (opened_ == paths_.size()) return std::nullopt;
    std::optional<std::string> file = Open(paths_[opened_++]);
    if (file.has_value()) return file;
  }
}

std::optional<std::string> InputFiles::Open(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_regular_file(status)) return path;
  if (fs::is_directory(status)) {
    walk_.emplace(path, recursive_);
    walk_found_any_ = false;
  } else if (status.type() == fs::file_type::not_found) {
    failed_.push_back({path, absl::NotFoundError("no such file or folder")});
  } else {
    failed_.push_back({path, absl::InvalidArgumentError(error ? error.message()
                                                              : "neither a file nor a folder")});
  }
  return std::nullopt;
}

void InputFiles::EndWalk() {
  if (!walk_->failed().empty()) {
    failed_.insert(failed_.end(), walk_->failed().begin(), walk_->failed().end());
  } else if (!walk_found_any_) {
    failed_.push_back(
        {paths_[opened_ - 1], absl::NotFoundError(absl::StrCat(
                                  "no .jpg, .jpeg, .png or .webp file in this folder",
                                  recursive_ ? "" : " (--recursive looks into its subfolders)"))});
  }
  walk_.reset();
}

void VisitInputFiles(const std::vector<std::string>& paths, bool recursive,
                     absl::FunctionRef<void(const std::string&)> visit) {
  for (const std::string& path : paths) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (fs::is_directory(status)) VisitPictures(path, recursive, visit);
    if (fs::is_regular_file(status)) visit(path);
  }
}

absl::StatusOr<std::string> ReadImageFile(const std::string& path, uint64_t limit) {
  std::error_code error;
  const uint64_t size = fs::file_size(path, error);
  if (error) return absl::NotFoundError(error.message());
  if (limit > 0 && size > limit) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the file has ", size, " bytes, the server takes at most ", limit, " of one image"));
  }
  std::string bytes(size, '\0');
  std::ifstream in(path, std::ios::binary);
  if (!in.read(bytes.data(), static_cast<std::streamsize>(size))) {
    return absl::PermissionDeniedError("the file cannot be read");
  }
  return bytes;
}

}  // namespace tome::client
