#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/client/fake_server.h"
#include "tests/client/tome_process.h"
#include "tests/testing/temporary_directory.h"

namespace tome::client {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using tome::v1::EmbedRequest;

// SHA-256 of "weights".
constexpr char kDigestOfWeights[] =
    "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c";

// A picture is a number, and its embedding points so many degrees from the first axis; r turns
// those above 100 by r degrees more.
FakeServer::Reply AnswerAngle(const EmbedRequest& request, int) {
  const std::string& picture = request.input().encoded();
  if (picture == "bad") {
    return FakeServer::Error(grpc::StatusCode::INVALID_ARGUMENT, "input.encoded: no picture");
  }
  const int r = static_cast<int>(request.merge().constant());
  const double degrees = std::stod(picture) + (std::stod(picture) > 100.0 ? r : 0);
  FakeServer::Reply reply =
      FakeServer::Answer({static_cast<float>(std::cos(degrees * M_PI / 180.0)),
                          static_cast<float>(std::sin(degrees * M_PI / 180.0))});
  reply.response.mutable_model()->set_name("vit");
  tome::v1::Embedding& embedding = *reply.response.mutable_embedding();
  embedding.mutable_applied()->set_tokens_in(4);
  embedding.mutable_applied()->set_tokens_out(r > 0 ? 2 : 4);
  embedding.mutable_applied()->set_gflops(r > 0 ? 1.0 : 2.0);
  embedding.mutable_applied()->set_gflops_unmerged(2.0);
  if (request.output().merge_map()) {
    tome::v1::MergeMap& map = *embedding.mutable_merge_map();
    map.set_grid_height(1);
    map.set_grid_width(1);
    map.add_group_of_patch(0);
    map.add_size(1.0f);
    embedding.mutable_model_pixels()->set_height(2);
    embedding.mutable_model_pixels()->set_width(2);
    embedding.mutable_model_pixels()->set_data(std::string(12, '\x10'));
  }
  return reply;
}

// Two kinds of pictures that r = 60 confuses in part.
class CliEvaluateTest : public testing::Test {
 protected:
  CliEvaluateTest() {
    for (const std::string name : {"a/10", "a/20", "b/120", "b/135"}) {
      pictures_.Write(name + ".png", name.substr(2));
    }
  }

  TomeProcess::Result Run(const std::vector<std::string>& arguments) const {
    return TomeProcess::Run(server_.address(), arguments);
  }
  // Where no file can have more than a kilobyte.
  TomeProcess::Result RunOnAFullDisk(const std::vector<std::string>& arguments) const {
    return TomeProcess(server_.address(), arguments, 1024).Wait();
  }

  static std::string Read(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  FakeServer server_{AnswerAngle};
  TemporaryDirectory pictures_;
  TemporaryDirectory out_;
};

TEST_F(CliEvaluateTest, ComparesEachScheduleWithTheExactEmbeddings) {
  const auto result =
      Run({"--json", "evaluate", "--images", pictures_.path(), "--labels", "folders", "--r", "60"});

  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json report = json::parse(result.out);
  EXPECT_EQ(report["pictures"], 4);
  ASSERT_EQ(report["rungs"].size(), 2u) << report;
  const json exact = report["rungs"][0];
  EXPECT_EQ(exact["schedule"], "r = 0");
  EXPECT_NEAR(exact["cosine_mean"], 1.0, 1e-6);
  EXPECT_EQ(exact["label_accuracy"], 1.0);
  const json merged = report["rungs"][1];
  EXPECT_EQ(merged["flop_ratio"], 2.0);
  EXPECT_EQ(merged["tokens_out"], 2);
  EXPECT_NEAR(merged["cosine_mean"], 0.75, 1e-6);  // two as they were, two with a cosine of a half
  EXPECT_NEAR(merged["cosine_p5"], 0.5, 1e-6);
  EXPECT_EQ(merged["recall_at_1"], 1.0);  // each kind turned as one
  EXPECT_GT(merged["images_per_second"], 0.0);
  EXPECT_GT(merged["latency_ms"], 0.0);
}

TEST_F(CliEvaluateTest, CentresTheCosinesAsWell) {
  const auto result = Run({"--json", "evaluate", "--images", pictures_.path(), "--r", "60"});

  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json merged = json::parse(result.out)["rungs"][1];
  // From the mean of the exact ones, (0.18, 0.52), the two that are turned are 50.7 and 46.1
  // degrees away from where they were.
  EXPECT_NEAR(merged["cosine_centred"], 0.831683, 1e-5);
  EXPECT_NEAR(merged["cosine_centred_p5"], 0.633008, 1e-5);
}

TEST_F(CliEvaluateTest, SaysThatFewPicturesAreAllNeighboursOfEachOther) {
  EXPECT_THAT(Run({"evaluate", "--images", pictures_.path(), "--r", "4"}).err,
              HasSubstr("4 pictures have no more than 10 neighbours each"));
  for (int i = 0; i < 8; ++i) pictures_.Write(std::to_string(30 + i) + ".png", "30");

  EXPECT_THAT(Run({"evaluate", "--images", pictures_.path(), "--r", "4"}).err,
              testing::Not(HasSubstr("neighbours each")));
}

TEST_F(CliEvaluateTest, ThePagePlotsAccuracyAgainstSpeedAndFidelityAgainstR) {
  const std::string html = out_.path() + "/report.html";

  const auto result = Run({"evaluate", "--images", pictures_.path(), "--labels", "folders", "--r",
                           "4,60", "--html", html});

  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string page = Read(html);
  EXPECT_THAT(page, HasSubstr("kNN accuracy, 1 to 1"));
  EXPECT_THAT(page, ContainsRegex("images/s, [0-9.e+]+ to [0-9.e+]+<"));
  EXPECT_THAT(page, HasSubstr("mean cosine to r = 0, 0.75 to 1"));
  EXPECT_THAT(page, HasSubstr("r, 0 to 60"));
}

TEST_F(CliEvaluateTest, PrintsATableAndWritesCsvAndAPageWithMergeMaps) {
  const std::string csv = out_.path() + "/table.csv";
  const std::string html = out_.path() + "/report.html";

  const auto result = Run({"evaluate", "--images", pictures_.path(), "--r", "4", "--linear", "8:-1",
                           "--per-block", "4,0", "--csv", csv, "--html", html});

  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, ContainsRegex("schedule +tokens +FLOP ratio +images/s"));
  EXPECT_THAT(result.out, ContainsRegex("r = 4 +2 +2.00"));
  EXPECT_THAT(result.out, HasSubstr("linear 8:-1"));
  EXPECT_THAT(result.out, testing::Not(HasSubstr("kNN accuracy")));
  EXPECT_THAT(Read(csv), HasSubstr("schedule,tokens_out,flop_ratio,"));
  EXPECT_THAT(Read(csv), HasSubstr("\nr = 4,2,2.00,"));
  EXPECT_THAT(Read(csv), HasSubstr("\n\"per-block 4,0\",4,1.00,"));
  const std::string page = Read(html);
  EXPECT_THAT(page, HasSubstr("<svg"));
  size_t maps = 0;
  for (size_t at = page.find("data:image/png;base64,iVBOR"); at != std::string::npos;
       at = page.find("data:image/png;base64,iVBOR", at + 1)) {
    ++maps;
  }
  EXPECT_EQ(maps, 4u * 4u) << "of each picture one a schedule";
  EXPECT_THAT(page, HasSubstr("a/10.png"));
  EXPECT_THAT(page, testing::Not(HasSubstr("http")));  // it needs nothing beside it
}

TEST_F(CliEvaluateTest, LeavesOutPicturesThatTheServerRefusesAndListsThem) {
  pictures_.Write("c/broken.png", "bad");

  const auto result = Run({"evaluate", "--images", pictures_.path(), "--r", "4"});

  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, ContainsRegex("r = 4 +2 +2.00"));
  EXPECT_THAT(result.err, HasSubstr("c/broken.png: INVALID_ARGUMENT: input.encoded: no picture"));
}

TEST_F(CliEvaluateTest, NeedsTwoPictures) {
  TemporaryDirectory one;
  one.Write("10.png", "10");

  const auto result = Run({"evaluate", "--images", one.path()});

  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("1 pictures can be embedded, a comparison needs 2"));
}

TEST_F(CliEvaluateTest, TellsWhyTooFewPicturesAreLeft) {
  TemporaryDirectory bad;
  bad.Write("1.png", "bad");
  bad.Write("2.png", "bad");

  const auto result = Run({"evaluate", "--images", bad.path()});

  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("0 pictures can be embedded, a comparison needs 2; "),
                                HasSubstr("/1.png: input.encoded: no picture")));
}

TEST_F(CliEvaluateTest, NeedsTwoFoldersForLabels) {
  TemporaryDirectory flat;
  flat.Write("10.png", "10");
  flat.Write("a/20.png", "20");
  flat.Write("a/30.png", "30");

  const auto result = Run({"evaluate", "--images", flat.path(), "--labels", "folders"});

  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("INVALID_ARGUMENT: --labels: " + flat.path()),
                                HasSubstr("has fewer than two folders")));
  EXPECT_THAT(server_.calls(), IsEmpty());
  flat.Write("b/40.png", "bad");
  EXPECT_THAT(Run({"evaluate", "--images", flat.path(), "--labels", "folders"}).err,
              ContainsRegex("has fewer than two folders.*b/40.png: input.encoded: no picture"));
}

// A batch has one timeout for all of its pictures.
TEST_F(CliEvaluateTest, StreamsThePicturesSoThatEachHasTheTimeoutToItself) {
  for (int i = 30; i < 60; ++i) pictures_.Write("a/" + std::to_string(i) + ".png", "30");

  const auto result = Run({"evaluate", "--images", pictures_.path(), "--r", "4"});

  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(server_.batches(), IsEmpty());
  EXPECT_EQ(server_.streams(), 3);  // the first is not measured
  // They wait for their turn before their time begins.
  EXPECT_LE(server_.most_in_flight(), 8);
}

TEST_F(CliEvaluateTest, AsksEveryTimeForTheWeightsItBeganWith) {
  const auto result =
      Run({"evaluate", "--images", pictures_.path(), "--r", "4", "--html", out_ / "report.html"});

  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const FakeServer::Call& call : server_.calls()) {
    EXPECT_EQ(call.request.if_weights_digest(), "d1");
  }
}

TEST_F(CliEvaluateTest, EndsWhereTheModelIsReplacedMeanwhile) {
  FakeServer replaced([](const EmbedRequest& request, int call) {
    return request.merge().constant() == 0
               ? AnswerAngle(request, call)
               : FakeServer::Error(grpc::StatusCode::FAILED_PRECONDITION,
                                   "if_weights_digest: now d2");
  });

  const auto result =
      TomeProcess::Run(replaced.address(),
                       {"calibrate", "--images", pictures_.path(), "--out", out_ / "profile.json"});

  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("FAILED_PRECONDITION: the model was replaced while it was "
                                    "measured: if_weights_digest: now d2"));
  EXPECT_EQ(out_.Read("profile.json"), "");
}

TEST_F(CliEvaluateTest, ShowsTheTableBeforeTheMapsCanFail) {
  FakeServer replaced([](const EmbedRequest& request, int call) {
    return request.output().merge_map() ? FakeServer::Error(grpc::StatusCode::FAILED_PRECONDITION,
                                                            "if_weights_digest: now d2")
                                        : AnswerAngle(request, call);
  });

  const auto result = TomeProcess::Run(
      replaced.address(),
      {"evaluate", "--images", pictures_.path(), "--r", "4", "--html", out_ / "report.html"});

  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, ContainsRegex("r = 4 +2 +2.00"));
  EXPECT_THAT(result.err, HasSubstr("the model was replaced while it was measured"));
}

TEST_F(CliEvaluateTest, RefusesVectorsThatAreNotAsLongAsTheModels) {
  FakeServer longer([](const EmbedRequest& request, int call) {
    return request.merge().constant() == 0 ? AnswerAngle(request, call)
                                           : FakeServer::Answer({1.0f, 0.0f, 0.0f});
  });

  const auto result =
      TomeProcess::Run(longer.address(), {"evaluate", "--images", pictures_.path(), "--r", "4"});

  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("the server's vector has 3 dimensions, vit has 2"));
}

TEST_F(CliEvaluateTest, MeasuresNothingThatItCouldNotWrite) {
  const std::vector<std::vector<std::string>> commands = {
      {"evaluate", "--csv"}, {"evaluate", "--html"}, {"calibrate", "--out"}};
  for (const std::vector<std::string>& command : commands) {
    const auto result =
        Run({command[0], "--images", pictures_.path(), command[1], out_ / "no/file"});

    EXPECT_EQ(result.exit_code, 2) << command[0];
    EXPECT_THAT(result.err, HasSubstr(command[1] + ": cannot write " + (out_ / "no/file")));
  }
  EXPECT_THAT(server_.calls(), IsEmpty());
}

TEST_F(CliEvaluateTest, AFullDiskLosesNeitherTheTableNorWhatWasThere) {
  const std::string profile = out_.Write("profile.json", "an earlier one");
  const std::string page = out_.Write("report.html", "an earlier one");

  const auto calibrate = RunOnAFullDisk(
      {"calibrate", "--images", pictures_.path(), "--r", "1,2,3,4,5,6,7", "--out", profile});
  const auto evaluate =
      RunOnAFullDisk({"evaluate", "--images", pictures_.path(), "--r", "7", "--html", page});

  for (const TomeProcess::Result& result : {calibrate, evaluate}) {
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_THAT(result.out, ContainsRegex("r = 7 +2 +2.00"));
    EXPECT_THAT(result.err, HasSubstr(": File too large"));
  }
  EXPECT_EQ(out_.Read("profile.json"), "an earlier one");
  EXPECT_EQ(out_.Read("report.html"), "an earlier one");
  EXPECT_FALSE(std::filesystem::exists(profile + ".new"));
}

TEST_F(CliEvaluateTest, TakesTheCheckpointsDirectoryForItsName) {
  server_.SetWeightsDigest(kDigestOfWeights);
  const TemporaryDirectory checkpoint;
  checkpoint.Write("model.safetensors", "weights");

  const auto evaluate = Run({"--json", "evaluate", "--model", checkpoint.path(), "--images",
                             pictures_.path(), "--r", "4"});
  const auto calibrate =
      Run({"calibrate", "--model", checkpoint.path(), "--images", pictures_.path(), "--r", "4"});

  ASSERT_EQ(evaluate.exit_code, 0) << evaluate.err;
  EXPECT_EQ(json::parse(evaluate.out)["model"], "vit");
  ASSERT_EQ(calibrate.exit_code, 0) << calibrate.err;
  EXPECT_EQ(json::parse(checkpoint.Read("profile.json"))["weights_digest"], kDigestOfWeights);
}

TEST_F(CliEvaluateTest, KnowsACheckpointOfSeveralFilesByAllOfThem) {
  server_.SetWeightsDigest(kDigestOfWeights);
  const TemporaryDirectory checkpoint;
  checkpoint.Write("model.safetensors.index.json",
                   R"({"weight_map": {"a": "2.safetensors", "b": "1.safetensors",
                                      "c": "2.safetensors"}})");
  checkpoint.Write("1.safetensors", "wei");
  checkpoint.Write("2.safetensors", "ghts");

  const auto result = Run({"--json", "evaluate", "--model", checkpoint.path(), "--images",
                           pictures_.path(), "--r", "4"});

  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(json::parse(result.out)["weights_digest"], kDigestOfWeights);
}

TEST_F(CliEvaluateTest, MeasuresNoOtherWeightsThanTheDirectorys) {
  const TemporaryDirectory checkpoint;
  checkpoint.Write("model.safetensors", "weights");
  const TemporaryDirectory empty;

  const auto other = Run({"evaluate", "--model", checkpoint.path(), "--images", pictures_.path()});
  const auto none = Run({"evaluate", "--model", empty.path(), "--images", pictures_.path()});

  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.err, HasSubstr("NOT_FOUND: --model: the server does not hold the weights in " +
                                   checkpoint.path() + " (9a129038d9a0), it holds vit (d1)"));
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.err, HasSubstr("holds neither model.safetensors nor its shards"));
  EXPECT_THAT(server_.calls(), IsEmpty());
}

TEST_F(CliEvaluateTest, CalibrateMustKnowWhereTheProfileGoes) {
  const auto result = Run({"calibrate", "--model", "vit", "--images", pictures_.path()});

  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("--out: needed where --model is not the directory"));
}

TEST_F(CliEvaluateTest, CalibrateWritesTheProfileOfTheseWeights) {
  const std::string file = out_.path() + "/profile.json";

  const auto result =
      Run({"calibrate", "--images", pictures_.path(), "--r", "60,4,0,4", "--out", file});

  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json profile = json::parse(Read(file));
  EXPECT_EQ(profile["weights_digest"], "d1");
  EXPECT_EQ(profile["images"], 4);
  EXPECT_THAT(profile["date"].get<std::string>(),
              testing::MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}"));
  ASSERT_EQ(profile["steps"].size(), 3u) << profile;
  EXPECT_EQ(profile["steps"][0]["r"], 0);
  EXPECT_EQ(profile["steps"][1]["r"], 4);
  EXPECT_EQ(profile["steps"][2]["r"], 60);
  EXPECT_NEAR(profile["steps"][2]["fidelity"], 0.75, 1e-6);
  EXPECT_NEAR(profile["steps"][2]["fidelity_p5"], 0.5, 1e-6);
  EXPECT_EQ(profile["steps"][2]["recall_at_10"], 1.0);
  EXPECT_EQ(profile["steps"][2]["flop_ratio"], 2.0);
}

}  // namespace
}  // namespace tome::client
