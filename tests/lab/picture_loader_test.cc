#include "server/lab/picture_loader.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "server/lab/picture_folder.h"
#include "tests/model/test_checkpoint.h"

namespace tome {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The photographs of the quickstart, in two folders, and what is no picture.
class PictureLoaderTest : public testing::Test {
 protected:
  PictureLoaderTest() {
    Copy("cat.jpg", "animals/one.jpg");
    Copy("temple.jpg", "places/deep/two.JPG");
    directory_.Write("notes.txt", "no picture");
  }

  void Copy(const std::string& photo, const std::string& name) const {
    const std::filesystem::path target = directory_.path() + "/" + name;
    std::filesystem::create_directories(target.parent_path());
    const auto root =
        std::filesystem::path(TOME_TEST_DATA).parent_path().parent_path().parent_path();
    std::filesystem::copy_file(root / "deploy/photos" / photo, target);
  }

  static Preprocessing Small() {
    Preprocessing spec;
    spec.resize = Preprocessing::Resize::kExact;
    spec.resize_height = spec.crop_height = 12;
    spec.resize_width = spec.crop_width = 16;
    return spec;
  }

  std::unique_ptr<PictureLoader> NewLoader(int64_t memory_bytes) const {
    return *PictureLoader::Create(*ListPictures(directory_.path()), Small(),
                                  {.memory_bytes = memory_bytes, .threads = 2});
  }

  TemporaryDirectory directory_;
};

TEST_F(PictureLoaderTest, FindsPicturesBelowAFolderAndLabelsThemByItsFirstSubfolder) {
  const PictureFolder folder = *ListPictures(directory_.path());

  EXPECT_THAT(folder.labels, ElementsAre("animals", "places"));
  ASSERT_EQ(folder.pictures.size(), 2u);
  EXPECT_THAT(folder.pictures[0].path, HasSubstr("animals/one.jpg"));
  EXPECT_EQ(folder.pictures[1].label, 1);
}

TEST_F(PictureLoaderTest, GivesTheSamePixelsFromMemoryAndFromTheFiles) {
  constexpr int64_t kOnePicture = 3 * 12 * 16;
  const auto kept = NewLoader(2 * kOnePicture);
  const auto half = NewLoader(kOnePicture);
  const auto none = NewLoader(0);
  EXPECT_EQ(kept->in_memory(), 2);
  EXPECT_EQ(half->in_memory(), 1);
  EXPECT_EQ(none->in_memory(), 0);

  const at::Tensor pixels = *kept->Load({1, 0, 1}).get();

  EXPECT_THAT(pixels.sizes(), ElementsAre(3, 12, 16, 3));
  EXPECT_TRUE(at::equal(pixels[0], pixels[2]));
  EXPECT_FALSE(at::equal(pixels[0], pixels[1]));
  EXPECT_TRUE(at::equal(*half->Load({1, 0, 1}).get(), pixels));
  EXPECT_TRUE(at::equal(*none->Load({1, 0, 1}).get(), pixels));
}

TEST_F(PictureLoaderTest, LeavesOutWhatCannotBeReadAndSaysWhy) {
  directory_.Write("animals/broken.png", "no picture");

  const auto loader = NewLoader(1 << 20);

  EXPECT_EQ(loader->size(), 2);
  ASSERT_EQ(loader->unreadable().size(), 1u);
  EXPECT_THAT(loader->unreadable()[0], HasSubstr("animals/broken.png: "));
}

TEST_F(PictureLoaderTest, RefusesAFolderWithoutPictures) {
  TemporaryDirectory empty;

  EXPECT_THAT(ListPictures(empty.path()).status().message(),
              HasSubstr("holds no .jpg, .jpeg, .png or .webp file"));
}

TEST(EnlargedTest, SeesTheSamePartOfAPictureInMorePixels) {
  Preprocessing spec;
  spec.resize = Preprocessing::Resize::kShortestEdge;
  spec.resize_height = 256;
  spec.crop_height = 224;
  spec.crop_width = 224;

  const Preprocessing large = Enlarged(spec, 1.25);

  EXPECT_EQ(large.resize_height, 320);
  EXPECT_EQ(large.crop_height, 280);
  EXPECT_EQ(large.crop_width, 280);
}

}  // namespace
}  // namespace tome
