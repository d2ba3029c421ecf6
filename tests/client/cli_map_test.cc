#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/client/fake_server.h"
#include "tests/client/tome_process.h"
#include "tests/testing/temporary_directory.h"

namespace tome::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using tome::v1::EmbedRequest;

// A picture of 2 x 4 pixels in two patches, which its only merging block makes one token.
FakeServer::Reply AnswerMap(const EmbedRequest& request, int) {
  FakeServer::Reply reply = FakeServer::Answer({1.0f, 0.0f});
  tome::v1::Embedding& embedding = *reply.response.mutable_embedding();
  for (const int merged : {0, 1, 0}) embedding.mutable_applied()->add_merged_per_block(merged);
  embedding.mutable_applied()->set_tokens_in(2);
  embedding.mutable_applied()->set_tokens_out(1);
  if (request.output().merge_map()) {
    tome::v1::MergeMap& map = *embedding.mutable_merge_map();
    map.set_grid_height(1);
    map.set_grid_width(2);
    for (int patch = 0; patch < 2; ++patch) map.add_group_of_patch(0);
    map.add_size(2.0f);
  }
  if (request.output().model_pixels()) {
    tome::v1::RawImage& pixels = *embedding.mutable_model_pixels();
    pixels.set_height(2);
    pixels.set_width(4);
    pixels.set_data(std::string(12, '\x10') + std::string(12, '\x30'));
  }
  return reply;
}

// Width, height and the pixel in the middle of a PNG file.
std::vector<int> Look(const std::string& file) {
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_file(&png, file.c_str()) == 0) return {};
  png.format = PNG_FORMAT_RGB;
  std::vector<uint8_t> pixels(PNG_IMAGE_SIZE(png));
  png_image_finish_read(&png, nullptr, pixels.data(), 0, nullptr);
  const size_t middle = (size_t{png.height} / 2 * png.width + png.width / 2) * 3;
  return {static_cast<int>(png.width), static_cast<int>(png.height), pixels[middle]};
}

TEST(CliMapTest, WritesThePictureWithItsMergedPatches) {
  FakeServer server(AnswerMap);
  TemporaryDirectory folder;
  const std::string out = folder.path() + "/map.png";

  const auto result = TomeProcess::Run(
      server.address(), {"map", folder.Write("a.jpg", "picture"), "--r", "8", "--out", out});

  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, out + ": 2 -> 1 tokens\n");
  EXPECT_THAT(Look(out), ElementsAre(896, 448, 0x20));
  ASSERT_EQ(server.calls().size(), 1u);
  EXPECT_EQ(server.calls()[0].request.merge().constant(), 8u);
}

TEST(CliMapTest, ShowsAnEarlierBlockByMergingNothingBehindIt) {
  FakeServer server(AnswerMap);
  TemporaryDirectory folder;

  const auto result =
      TomeProcess::Run(server.address(), {"map", folder.Write("a.jpg", "picture"), "--block", "2",
                                          "--out", folder.path() + "/map.png"});

  EXPECT_EQ(result.exit_code, 0) << result.err;
  ASSERT_EQ(server.calls().size(), 2u);
  EXPECT_FALSE(server.calls()[0].request.has_merge());
  EXPECT_THAT(server.calls()[1].request.merge().per_block().r(), ElementsAre(0, 1));
}

TEST(CliMapTest, WritesNothingWhereTheAnswerHasNoPixels) {
  FakeServer server([](const EmbedRequest&, int) {
    FakeServer::Reply reply = FakeServer::Answer({1.0f, 0.0f});
    reply.response.mutable_embedding()->mutable_merge_map();
    reply.response.mutable_embedding()->mutable_model_pixels();
    return reply;
  });
  TemporaryDirectory folder;
  const std::string out = folder.Write("map.png", "an earlier one");

  const auto result =
      TomeProcess::Run(server.address(), {"map", folder.Write("a.jpg", "picture"), "--out", out});

  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("does not fit its 0 x 0 pixels"));
  EXPECT_EQ(folder.Read("map.png"), "an earlier one");
}

TEST(CliMapTest, TellsWhatIsWrongWithItsOptions) {
  FakeServer server(AnswerMap);
  TemporaryDirectory folder;
  const std::string picture = folder.Write("a.jpg", "picture");
  const auto run = [&](const std::vector<std::string>& options) {
    std::vector<std::string> arguments = {"map", picture};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return TomeProcess::Run(server.address(), arguments);
  };

  EXPECT_THAT(run({"--out", "map.jpg"}).err, HasSubstr("'map.jpg' does not end in .png"));
  const auto block = run({"--block", "13", "--out", folder.path() + "/map.png"});
  EXPECT_EQ(block.exit_code, 2);
  EXPECT_THAT(block.err, HasSubstr("--block: 13, the model has 12 blocks"));
  const auto nowhere = run({"--out", folder.path() + "/no/map.png"});
  EXPECT_EQ(nowhere.exit_code, 2);
  EXPECT_THAT(nowhere.err, HasSubstr("/no/map.png"));
  EXPECT_THAT(server.calls(), IsEmpty());
}

}  // namespace
}  // namespace tome::client
