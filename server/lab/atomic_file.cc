#include "server/lab/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace tome {
namespace {

absl::Status Failed(absl::string_view what, const std::string& path, int error) {
  return absl::ErrnoToStatus(error, absl::StrCat("cannot ", what, " ", path));
}

absl::Status WriteAndSync(const std::string& path, absl::string_view bytes) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) return Failed("write", path, errno);
  int error = 0;
  while (!bytes.empty() && error == 0) {
    const ssize_t written = write(file, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(written);
    } else if (errno != EINTR) {
      error = errno;
    }
  }
  if (error == 0 && fsync(file) != 0) error = errno;
  if (close(file) != 0 && error == 0) error = errno;
  return error == 0 ? absl::OkStatus() : Failed("write", path, error);
}

}  // namespace

absl::Status WriteFileAtOnce(const std::string& path, absl::string_view bytes) {
  const std::string unfinished = path + ".part";
  if (absl::Status written = WriteAndSync(unfinished, bytes); !written.ok()) return written;
  if (std::rename(unfinished.c_str(), path.c_str()) != 0) return Failed("write", path, errno);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Failed("read", path, errno);
  std::string bytes(std::istreambuf_iterator<char>(file), {});
  if (file.bad()) return Failed("read", path, EIO);
  return bytes;
}

absl::Status MakeDirectories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  return error ? Failed("make the folder", path, error.value()) : absl::OkStatus();
}

}  // namespace tome
