#include "client/cli/input_files.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

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

template <typename Iterator>
std::error_code Collect(const std::string& folder, std::vector<std::string>& files) {
  std::error_code error;
  for (Iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (IsPicture(*it)) files.push_back(it->path().string());
  }
  return error;
}

void AddFolder(const std::string& folder, bool recursive, InputFiles& input) {
  std::vector<std::string> files;
  const std::error_code error = recursive ? Collect<fs::recursive_directory_iterator>(folder, files)
                                          : Collect<fs::directory_iterator>(folder, files);
  std::sort(files.begin(), files.end());
  input.files.insert(input.files.end(), files.begin(), files.end());
  if (error) {
    input.failed.push_back({folder, absl::PermissionDeniedError(absl::StrCat(
                                        "the folder cannot be read: ", error.message()))});
  } else if (files.empty()) {
    input.failed.push_back(
        {folder, absl::NotFoundError(
                     absl::StrCat("no .jpg, .jpeg, .png or .webp file in this folder",
                                  recursive ? "" : " (--recursive looks into its subfolders)"))});
  }
}

}  // namespace

InputFiles FindInputFiles(const std::vector<std::string>& paths, bool recursive) {
  InputFiles input;
  for (const std::string& path : paths) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (fs::is_directory(status)) {
      AddFolder(path, recursive, input);
    } else if (fs::is_regular_file(status)) {
      input.files.push_back(path);
    } else if (status.type() == fs::file_type::not_found) {
      input.failed.push_back({path, absl::NotFoundError("no such file or folder")});
    } else {
      input.failed.push_back({path, absl::InvalidArgumentError(
                                        error ? error.message() : "neither a file nor a folder")});
    }
  }
  return input;
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
