#ifndef TOME_TESTS_TESTING_TEMPORARY_DIRECTORY_H_
#define TOME_TESTS_TESTING_TEMPORARY_DIRECTORY_H_

#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>

namespace tome {

// An empty directory that is gone, with what is in it, at the end. What cannot be written ends the
// program: no test could go on.
class TemporaryDirectory {
 public:
  TemporaryDirectory() : path_(std::filesystem::temp_directory_path() / "tome_test_XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) Abort(path_);
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }
  // The path of `name` in the directory.
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  // Writes a file, its directories included, and gives its path.
  std::string Write(const std::string& name, std::string_view bytes) const {
    const std::filesystem::path path = *this / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream file(path, std::ios::binary);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!file.flush()) Abort(path);
    return path;
  }

  std::string Read(const std::string& name) const {
    std::ifstream file(*this / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

 private:
  [[noreturn]] static void Abort(const std::string& path) {
    std::perror(path.c_str());
    abort();
  }

  std::string path_;
};

}  // namespace tome

#endif  // TOME_TESTS_TESTING_TEMPORARY_DIRECTORY_H_
