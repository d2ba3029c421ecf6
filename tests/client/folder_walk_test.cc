#include "client/cli/folder_walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tests/testing/temporary_directory.h"

namespace tome::client {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAreArray;

std::vector<std::string> Walk(FolderWalk& walk) {
  std::vector<std::string> paths;
  while (std::optional<std::string> path = walk.Next()) paths.push_back(*std::move(path));
  return paths;
}

std::vector<std::string> Walk(const std::string& folder, bool recursive, size_t most_names) {
  FolderWalk walk(folder, recursive, most_names);
  return Walk(walk);
}

TEST(FolderWalkTest, GivesPathsInTheirOrderHoweverFewNamesItKeeps) {
  TemporaryDirectory folder;
  std::vector<std::string> paths;
  // A subfolder's '/' is behind '.' and '-' and before letters and digits.
  for (const char* name :
       {"a-b/1.jpg", "a.jpg", "a/1.jpg", "a/2/3.png", "a/2.png", "a0.webp", "b/c/d/e.jpeg",
        "b/c/d.jpg", "b/z.jpg", "c.JPG", "d.jpg", "e.jpg", "f.jpg"}) {
    paths.push_back(folder.Write(name, ""));
  }
  std::sort(paths.begin(), paths.end());

  for (const size_t most_names : {1u, 2u, 3u, 1000u}) {
    EXPECT_THAT(Walk(folder.path(), true, most_names), ElementsAreArray(paths)) << most_names;
  }
}

TEST(FolderWalkTest, LeavesOutSubfoldersUnlessAskedAndWhatIsNoPicture) {
  TemporaryDirectory folder;
  const std::string picture = folder.Write("b.jpg", "");
  folder.Write("a/a.jpg", "");
  folder.Write("c.txt", "");
  std::filesystem::create_directory(folder / "folder.jpg");

  EXPECT_THAT(Walk(folder.path(), false, 1), ElementsAre(picture));
}

TEST(FolderWalkTest, FollowsNoLinkToAFolder) {
  TemporaryDirectory folder;
  const std::string picture = folder.Write("a/b.jpg", "");
  std::filesystem::create_directory_symlink(folder.path(), folder / "a/again");

  EXPECT_THAT(Walk(folder.path(), true, 100), ElementsAre(picture));
}

TEST(FolderWalkTest, TellsOfAFolderThatIsGoneAndGoesOn) {
  TemporaryDirectory folder;
  folder.Write("a/1.jpg", "");
  folder.Write("b/1.jpg", "");
  FolderWalk walk(folder.path(), true);
  ASSERT_EQ(walk.Next(), folder / "a/1.jpg");
  std::filesystem::remove_all(folder / "b");

  EXPECT_THAT(Walk(walk), IsEmpty());

  ASSERT_EQ(walk.failed().size(), 1u);
  EXPECT_EQ(walk.failed()[0].path, folder / "b/");
  EXPECT_EQ(walk.failed()[0].status.message(),
            "the folder cannot be read: No such file or directory");
}

TEST(VisitPicturesTest, FindsWhatAWalkGives) {
  TemporaryDirectory folder;
  for (const char* name : {"b.jpg", "a/1.png", "a/2.txt", "a/b/c/1.webp"}) folder.Write(name, "");
  std::filesystem::create_directory_symlink(folder.path(), folder / "a/again");

  for (const bool recursive : {false, true}) {
    std::vector<std::string> visited;
    VisitPictures(folder.path(), recursive,
                  [&](const std::string& path) { visited.push_back(path); });
    EXPECT_THAT(visited, UnorderedElementsAreArray(Walk(folder.path(), recursive, 2)));
  }
}

}  // namespace
}  // namespace tome::client
