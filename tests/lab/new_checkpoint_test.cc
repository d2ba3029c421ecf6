#include "server/lab/new_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/lab/atomic_file.h"
#include "server/model/checkpoint.h"
#include "tests/model/test_checkpoint.h"

namespace tome {
namespace {

using ::testing::HasSubstr;

NewVit Small() {
  return {.width = 32, .depth = 3, .heads = 4, .mlp_ratio = 2, .patch_size = 8, .image_size = 40};
}

TEST(NewCheckpointTest, IsOneThatTheServerLoads) {
  TemporaryDirectory directory;

  ASSERT_TRUE(WriteNewCheckpoint(Small(), directory.path()).ok());

  const auto checkpoint = OpenCheckpoint(directory.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const VitDescription& vit = checkpoint->vit();
  EXPECT_EQ(vit.token_dim, 32);
  EXPECT_EQ(vit.blocks, 3);
  EXPECT_EQ(vit.heads, 4);
  EXPECT_EQ(vit.mlp_hidden_dim, 64);
  EXPECT_EQ(vit.tokens(), 25);
  EXPECT_EQ(vit.prefix_tokens(), 0);
  EXPECT_EQ(vit.pooling, VitPooling::kMeanOfPatches);
  EXPECT_TRUE(vit.norm_after_pooling);
}

TEST(NewCheckpointTest, HasTheSameBytesForTheSameSeedAlone) {
  const auto bytes = [](uint64_t seed) {
    NewVit vit = Small();
    vit.seed = seed;
    TemporaryDirectory directory;
    EXPECT_TRUE(WriteNewCheckpoint(vit, directory.path()).ok());
    return *ReadWholeFile(directory.path() + "/model.safetensors");
  };

  EXPECT_EQ(bytes(1), bytes(1));
  EXPECT_NE(bytes(1), bytes(2));
}

TEST(NewCheckpointTest, NamesTheOptionThatDoesNotFit) {
  NewVit wide = Small();
  wide.width = 30;
  NewVit odd = Small();
  odd.image_size = 41;

  EXPECT_THAT(CheckNewVit(wide).message(), HasSubstr("--width: 30 is not a multiple of 4 and of"));
  EXPECT_THAT(CheckNewVit(odd).message(),
              HasSubstr("--image-size: 41 is not a multiple of --patch-size 8"));
}

}  // namespace
}  // namespace tome
