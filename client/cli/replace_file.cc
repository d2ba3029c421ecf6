#include "client/cli/replace_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace tome::client {
namespace {

struct Target {
  std::string file;        // where a link leads
  bool is_device = false;  // or a pipe: not to be replaced by a file
  std::string written;     // first; the file itself only of a device
};

Target TargetOf(const std::string& file) {
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(file, error);
  Target target;
  target.file = error ? file : real.string();
  target.is_device = std::filesystem::is_other(target.file, error);
  target.written = target.is_device ? target.file : target.file + ".new";
  return target;
}

}  // namespace

absl::Status CheckReplaceable(absl::string_view option, const std::string& file) {
  const Target target = TargetOf(file);
  // Who reads from a pipe would take a first look at it for its end.
  if (target.is_device) return absl::OkStatus();
  const auto refuse = [&](int reason) {
    return absl::InvalidArgumentError(
        absl::StrCat(option, ": cannot write ", file, ": ", std::strerror(reason)));
  };
  std::error_code error;
  if (std::filesystem::is_directory(target.file, error)) return refuse(EISDIR);
  if (!std::ofstream(target.written, std::ios::app).is_open()) return refuse(errno);
  std::remove(target.written.c_str());
  return absl::OkStatus();
}

absl::Status ReplaceFile(const std::string& file, absl::string_view bytes) {
  const Target target = TargetOf(file);
  std::ofstream out(target.written, std::ios::binary | std::ios::trunc);
  out << bytes;
  out.close();
  if (out && (target.is_device || std::rename(target.written.c_str(), target.file.c_str()) == 0)) {
    return absl::OkStatus();
  }
  const int reason = errno;
  if (!target.is_device) std::remove(target.written.c_str());
  return absl::UnknownError(absl::StrCat("cannot write ", file, ": ", std::strerror(reason)));
}

}  // namespace tome::client
