#ifndef TOME_TESTS_CONFIG_TEMPORARY_FILE_H_
#define TOME_TESTS_CONFIG_TEMPORARY_FILE_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tome {

// A file of this test alone, removed at its end.
class TemporaryFile {
 public:
  explicit TemporaryFile(absl::string_view text)
      : path_(absl::StrCat(testing::TempDir(), "/tome_",
                           testing::UnitTest::GetInstance()->current_test_info()->name(), "_",
                           getpid(), ".toml")) {
    std::ofstream(path_, std::ios::binary) << std::string(text);
  }
  ~TemporaryFile() { std::remove(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

}  // namespace tome

#endif  // TOME_TESTS_CONFIG_TEMPORARY_FILE_H_
