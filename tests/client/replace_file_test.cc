#include "client/cli/replace_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "tests/testing/temporary_directory.h"

namespace tome::client {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ReplaceFileTest : public testing::Test {
 protected:
  int FilesInFolder() const {
    int files = 0;
    for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator(folder_.path())) {
      ++files;
    }
    return files;
  }

  TemporaryDirectory folder_;
};

TEST_F(ReplaceFileTest, LeavesTheNewFileAlone) {
  const std::string file = folder_.Write("profile.json", "the longer old one");

  ASSERT_TRUE(CheckReplaceable("--out", file).ok());
  EXPECT_EQ(folder_.Read("profile.json"), "the longer old one");
  ASSERT_TRUE(ReplaceFile(file, "new").ok());

  EXPECT_EQ(folder_.Read("profile.json"), "new");
  EXPECT_EQ(FilesInFolder(), 1);
}

TEST_F(ReplaceFileTest, LeavesNothingWhereItOnlyAsks) {
  EXPECT_TRUE(CheckReplaceable("--out", folder_ / "profile.json").ok());

  EXPECT_EQ(FilesInFolder(), 0);
}

TEST_F(ReplaceFileTest, SaysWhichOptionNamesAPlaceThatCannotBeWritten) {
  const absl::Status no_folder = CheckReplaceable("--csv", folder_ / "no/table.csv");
  const absl::Status a_folder = CheckReplaceable("--html", folder_.path());

  EXPECT_TRUE(absl::IsInvalidArgument(no_folder));
  EXPECT_THAT(std::string(no_folder.message()),
              AllOf(StartsWith("--csv: cannot write "), HasSubstr("No such file or directory")));
  EXPECT_THAT(std::string(a_folder.message()),
              AllOf(StartsWith("--html: cannot write "), HasSubstr("Is a directory")));
  EXPECT_TRUE(absl::IsUnknown(ReplaceFile(folder_ / "no/table.csv", "new")));
  EXPECT_TRUE(absl::IsUnknown(ReplaceFile(folder_.path(), "new")));
}

TEST_F(ReplaceFileTest, FollowsALink) {
  folder_.Write("blobs/1", "old");
  std::filesystem::create_symlink("blobs/1", folder_ / "profile.json");

  ASSERT_TRUE(ReplaceFile(folder_ / "profile.json", "new").ok());

  EXPECT_TRUE(std::filesystem::is_symlink(folder_ / "profile.json"));
  EXPECT_EQ(folder_.Read("blobs/1"), "new");
}

TEST_F(ReplaceFileTest, WritesIntoAPipe) {
  const std::string pipe = folder_ / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const int reader = open(pipe.c_str(), O_RDONLY | O_NONBLOCK);

  EXPECT_TRUE(CheckReplaceable("--out", pipe).ok());
  EXPECT_TRUE(ReplaceFile(pipe, "new").ok());

  std::string text(10, 0);
  const ssize_t bytes = read(reader, text.data(), text.size());
  close(reader);
  ASSERT_EQ(bytes, 3);
  EXPECT_EQ(text.substr(0, 3), "new");
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
}

}  // namespace
}  // namespace tome::client
