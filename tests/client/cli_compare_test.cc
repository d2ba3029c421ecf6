#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/client/fake_server.h"
#include "tests/client/tome_process.h"
#include "tests/testing/temporary_directory.h"

namespace tome::client {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using tome::v1::EmbedRequest;

// r degrees away from the embedding at r = 0, computed in r ms, 100 and then 10 ms more at the
// second and third call.
FakeServer::Reply AnswerAngle(const EmbedRequest& request, int call) {
  if (request.input().encoded() == "bad") {
    return FakeServer::Error(grpc::StatusCode::INVALID_ARGUMENT, "input.encoded: no picture");
  }
  const int r = static_cast<int>(request.merge().constant());
  const float angle = static_cast<float>(r * M_PI / 180.0);
  FakeServer::Reply reply = FakeServer::Answer({std::cos(angle), std::sin(angle)});
  tome::v1::Embedding& embedding = *reply.response.mutable_embedding();
  embedding.mutable_applied()->set_tokens_in(197);
  embedding.mutable_applied()->set_tokens_out(197 - 12 * r);
  embedding.mutable_applied()->set_gflops(9.1 - 0.1 * r);
  const int extra = call == 1 ? 100 : call == 2 ? 10 : 0;
  embedding.mutable_timing()->mutable_compute()->set_nanos((r + extra) * 1'000'000);
  return reply;
}

TEST(CliCompareTest, ShowsTokensTimeAndCosineOfEachR) {
  FakeServer server([](const EmbedRequest& request, int) { return AnswerAngle(request, 0); });
  TemporaryDirectory folder;
  const std::string picture = folder.Write("a.jpg", "picture");

  const auto result = TomeProcess::Run(server.address(), {"compare", picture, "--r", "0,8,16"});

  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::istringstream lines(result.out);
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    rows.emplace_back();
    for (std::string word; words >> word;) rows.back().push_back(word);
  }
  ASSERT_EQ(rows.size(), 4u) << result.out;
  EXPECT_THAT(rows[1], ElementsAre(picture, "0", "197", "->", "197", "0.0", "9.10", "1.0000"));
  EXPECT_THAT(rows[2], ElementsAre(picture, "8", "197", "->", "101", "8.0", "8.30", "0.9903"));
  EXPECT_THAT(rows[3], ElementsAre(picture, "16", "197", "->", "5", "16.0", "7.50", "0.9613"));
}

TEST(CliCompareTest, ComparesWithTheExactEmbeddingEvenIfItIsNotAskedFor) {
  FakeServer server([](const EmbedRequest& request, int) { return AnswerAngle(request, 0); });
  TemporaryDirectory folder;

  const auto result = TomeProcess::Run(
      server.address(), {"--json", "compare", folder.Write("a.jpg", "picture"), "--r", "60,30"});

  EXPECT_EQ(result.exit_code, 0) << result.err;
  const json rows = json::parse(result.out)["rows"];
  ASSERT_EQ(rows.size(), 3u) << rows;
  EXPECT_EQ(rows[0]["r"], 0);
  EXPECT_EQ(rows[1]["r"], 60);
  EXPECT_NEAR(rows[1]["cosine"], 0.5, 1e-6);
  EXPECT_NEAR(rows[2]["cosine"], std::sqrt(0.75), 1e-6);
}

TEST(CliCompareTest, TakesTheMedianTimeOfTheRepetitions) {
  FakeServer server(AnswerAngle);
  TemporaryDirectory folder;

  const auto result = TomeProcess::Run(
      server.address(),
      {"compare", folder.Write("a.jpg", "picture"), "--r", "0", "--repeat", "3", "--json"});

  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(json::parse(result.out)["rows"][0]["compute_ms"], 10.0);
  EXPECT_EQ(server.calls().size(), 3u);
}

TEST(CliCompareTest, ListsFilesThatFailAndGoesOn) {
  FakeServer server([](const EmbedRequest& request, int) { return AnswerAngle(request, 0); });
  TemporaryDirectory folder;
  folder.Write("a.jpg", "bad");
  folder.Write("b.jpg", "picture");

  const auto result = TomeProcess::Run(server.address(), {"compare", folder.path(), "--r", "4"});

  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, HasSubstr("b.jpg"));
  EXPECT_THAT(result.err, HasSubstr("a.jpg: INVALID_ARGUMENT: input.encoded: no picture"));
}

}  // namespace
}  // namespace tome::client
