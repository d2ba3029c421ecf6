#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/client/fake_server.h"
#include "tests/client/tome_process.h"
#include "tests/testing/temporary_directory.h"

namespace tome::client {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using tome::v1::EmbedRequest;

// A picture is a number in a file; its embedding is that number and 1.
FakeServer::Reply AnswerNumber(const EmbedRequest& request, int) {
  return FakeServer::Answer({std::stof(request.input().encoded()), 1.0f});
}

// Pictures 0, 1, 2 and -1, embedded at r = 6.
class CliSearchTest : public ::testing::Test {
 protected:
  CliSearchTest() : server_(AnswerNumber) {
    std::vector<std::string> arguments = {"embed", "--r", "6", "--out", in()};
    for (const std::string number : {"0", "1", "2", "-1"}) {
      pictures_.push_back(folder_.Write(number + ".jpg", number));
    }
    arguments.insert(arguments.end(), pictures_.begin(), pictures_.end());
    const auto embedded = TomeProcess::Run(server_.address(), arguments);
    EXPECT_EQ(embedded.exit_code, 0) << embedded.err;
  }

  std::string in() const { return folder_ / "vectors.npy"; }

  TomeProcess::Result Search(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"search", folder_.Write("query.jpg", "1"), "--in", in()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return TomeProcess::Run(server_.address(), arguments);
  }

  FakeServer server_;
  TemporaryDirectory folder_;
  std::vector<std::string> pictures_;
};

TEST_F(CliSearchTest, ShowsThePicturesMostAlikeFirst) {
  const auto result = Search({});

  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out,
            "cosine  file\n"
            "1.0000  " +
                pictures_[1] + "\n" + "0.9487  " + pictures_[2] + "\n" + "0.7071  " + pictures_[0] +
                "\n" + "0.0000  " + pictures_[3] + "\n");
}

TEST_F(CliSearchTest, ShowsAsManyAsAskedForAndTellsAProgramTheirRows) {
  const auto result = Search({"--top", "2", "--json"});

  EXPECT_EQ(result.exit_code, 0) << result.err;
  const json matches = json::parse(result.out)["matches"];
  ASSERT_EQ(matches.size(), 2u);
  EXPECT_EQ(matches[0]["path"], pictures_[1]);
  EXPECT_EQ(matches[0]["row"], 1);
  EXPECT_EQ(matches[1]["row"], 2);
}

TEST_F(CliSearchTest, EmbedsTheQueryAsTheRowsWereMade) {
  ASSERT_EQ(Search({}).exit_code, 0);

  const EmbedRequest query = server_.calls().back().request;
  EXPECT_EQ(query.model(), "vit");
  EXPECT_EQ(query.if_weights_digest(), "d1");
  EXPECT_EQ(query.merge().constant(), 6u);
  EXPECT_EQ(query.output().dimensions(), 2u);
}

TEST_F(CliSearchTest, SaysWhichFileIsMissingOrNotWhole) {
  std::filesystem::resize_file(in(), 130);
  const auto cut = Search({});
  std::filesystem::remove(in() + ".run.json");
  const auto unrecorded = Search({});

  EXPECT_EQ(cut.exit_code, 2);
  EXPECT_THAT(cut.err, HasSubstr("do not both have 4 rows"));
  EXPECT_EQ(unrecorded.exit_code, 2);
  EXPECT_THAT(unrecorded.err, HasSubstr("vectors.npy.run.json"));
}

TEST_F(CliSearchTest, SaysThatARunWasBrokenOffInsteadOfFindingNothing) {
  // What a first run that is killed leaves: rows, none of them counted.
  std::string bytes = folder_.Read("vectors.npy");
  bytes.replace(bytes.find("(4, 2)"), 6, "(0, 2)");
  folder_.Write("vectors.npy", bytes);

  const auto result = Search({});

  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("more than the 0 rows that it says"));
  EXPECT_THAT(result.err, HasSubstr("--resume"));
}

TEST_F(CliSearchTest, AQueryThatIsNotThereIsAUsageError) {
  const auto result =
      TomeProcess::Run(server_.address(), {"search", folder_ / "none.jpg", "--in", in()});

  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("none.jpg"));
}

}  // namespace
}  // namespace tome::client
