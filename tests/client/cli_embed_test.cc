#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <cmath>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/client/fake_server.h"
#include "tests/client/npy.h"
#include "tests/client/tome_process.h"
#include "tests/testing/temporary_directory.h"

namespace tome::client {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using tome::v1::EmbedRequest;

// A picture is a number in a file; its embedding is that number and 1. "bad" is no picture.
FakeServer::Reply AnswerNumber(const EmbedRequest& request) {
  const std::string& picture = request.input().encoded();
  if (picture == "bad") {
    return FakeServer::Error(grpc::StatusCode::INVALID_ARGUMENT,
                             "input.encoded: neither a JPEG nor a PNG file");
  }
  FakeServer::Reply reply = FakeServer::Answer({std::stof(picture), 1.0f});
  tome::v1::Applied& applied = *reply.response.mutable_embedding()->mutable_applied();
  applied.add_merged_per_block(request.merge().constant());
  applied.set_tokens_in(197);
  applied.set_tokens_out(197 - request.merge().constant());
  applied.set_gflops(4.5);
  reply.response.mutable_embedding()->mutable_timing()->mutable_compute()->set_nanos(1'500'000);
  return reply;
}

FakeServer::Reply AnswerNumbers(const EmbedRequest& request, int) { return AnswerNumber(request); }

std::vector<json> JsonLines(const std::string& text) {
  std::vector<json> lines;
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    lines.push_back(json::parse(text.substr(begin, end - begin)));
  }
  EXPECT_EQ(begin, text.size()) << "the last line is not complete: " << text.substr(begin);
  return lines;
}

std::vector<std::string> Paths(const std::vector<json>& lines) {
  std::vector<std::string> paths;
  for (const json& line : lines) paths.push_back(line["path"]);
  return paths;
}

TEST(CliEmbedTest, PrintsAJsonLineForAPicture) {
  FakeServer server(AnswerNumbers);
  TemporaryDirectory folder;
  const std::string picture = folder.Write("a.jpg", "7");

  const auto result = TomeProcess::Run(server.address(), {"embed", picture, "--r", "8"});

  EXPECT_EQ(result.exit_code, 0) << result.err;
  const std::vector<json> lines = JsonLines(result.out);
  ASSERT_EQ(lines.size(), 1u) << result.out;
  EXPECT_EQ(lines[0]["path"], picture);
  EXPECT_EQ(lines[0]["vector"], json::parse("[7.0, 1.0]"));
  EXPECT_EQ(lines[0]["merged_per_block"], json::parse("[8]"));
  EXPECT_EQ(lines[0]["tokens_in"], 197);
  EXPECT_EQ(lines[0]["tokens_out"], 189);
  EXPECT_EQ(lines[0]["gflops"], 4.5);
  EXPECT_EQ(lines[0]["compute_ms"], 1.5);
  EXPECT_FALSE(lines[0].contains("decode_ms")) << lines[0];
  EXPECT_EQ(lines[0]["model"], "vit");
  EXPECT_THAT(result.err, AllOf(HasSubstr("1 of 1 files embedded"), Not(HasSubstr("\r"))));
}

TEST(CliEmbedTest, WritesANumpyFileAndThePathsOfItsRows) {
  FakeServer server(AnswerNumbers);
  TemporaryDirectory folder;
  const std::string a = folder.Write("a.jpg", "1.5");
  const std::string b = folder.Write("b.png", "-2");
  const std::string out = folder / "out.npy";

  const auto result = TomeProcess::Run(server.address(), {"embed", b, a, "--out", out});

  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, IsEmpty());
  const Npy npy = ParseNpy(folder.Read("out.npy"));
  EXPECT_THAT(npy.shape, ElementsAre(2, 2));
  EXPECT_THAT(npy.values, ElementsAre(-2.0f, 1.0f, 1.5f, 1.0f));
  EXPECT_EQ(folder.Read("out.npy.paths.txt"), b + "\n" + a + "\n");
}

TEST(CliEmbedTest, AsksForTheMeanOfThePatchesWhichHasTheTokensWidth) {
  FakeServer server([](const EmbedRequest& request, int) {
    EXPECT_EQ(request.output().pooling(), tome::v1::POOLING_MEAN);
    return FakeServer::Answer({1.0f, 2.0f, 3.0f});
  });
  TemporaryDirectory folder;
  const std::string picture = folder.Write("a.jpg", "1");
  const std::string out = folder / "out.npy";

  const auto result =
      TomeProcess::Run(server.address(), {"embed", picture, "--pooling", "mean", "--out", out});
  const auto another = TomeProcess::Run(
      server.address(), {"embed", picture, "--pooling", "class-token", "--out", out, "--resume"});

  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(ParseNpy(folder.Read("out.npy")).shape, ElementsAre(1, 3));
  EXPECT_EQ(another.exit_code, 2);
  EXPECT_THAT(another.err, HasSubstr("were made with pooling \"mean\""));
}

TEST(CliEmbedTest, KeepsTheOrderOfTheFilesWhateverTheOrderOfTheAnswers) {
  // The first answer comes when no other can wait for it any more: concurrency 2 leaves room for 8
  // rows, all of which but the first have been answered by then.
  FakeServer server([](const EmbedRequest& request, int) {
    FakeServer::Reply reply = AnswerNumber(request);
    if (request.input().encoded() == "0") reply.after_calls = 8;
    return reply;
  });
  TemporaryDirectory folder;
  std::vector<std::string> arguments = {"embed", "--concurrency", "2"};
  std::vector<std::string> pictures;
  for (int i = 0; i < 12; ++i) {
    pictures.push_back(folder.Write(std::to_string(i) + ".jpg", std::to_string(i)));
  }
  arguments.insert(arguments.end(), pictures.begin(), pictures.end());

  const auto result = TomeProcess::Run(server.address(), arguments);

  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(Paths(JsonLines(result.out)), pictures);
  EXPECT_EQ(server.most_in_flight(), 2);
}

TEST(CliEmbedTest, SendsNothingBeyondTheWindowOfRowsThatWaitForAnEarlierOne) {
  // The first file is answered by a ninth call alone, which concurrency 2 never sends before it.
  FakeServer server([](const EmbedRequest& request, int) {
    FakeServer::Reply reply = AnswerNumber(request);
    if (request.input().encoded() == "0") reply.after_calls = 9;
    return reply;
  });
  TemporaryDirectory folder;
  for (int i = 0; i < 10; ++i) folder.Write(std::to_string(i) + ".jpg", std::to_string(i));

  const auto result = TomeProcess::Run(
      server.address(), {"embed", folder.path(), "--concurrency", "2", "--timeout", "2s"});

  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("0.jpg: DEADLINE_EXCEEDED: no answer within 2s"));
  EXPECT_EQ(JsonLines(result.out).size(), 9u);
}

TEST(CliEmbedTest, HasAsManyCallsUnderWayAsConcurrencyAllows) {
  FakeServer server([](const EmbedRequest& request, int call) {
    FakeServer::Reply reply = AnswerNumber(request);
    if (call < 5) reply.after_calls = 5;
    return reply;
  });
  TemporaryDirectory folder;
  for (int i = 0; i < 20; ++i) folder.Write(std::to_string(i) + ".jpg", "1");

  const auto result =
      TomeProcess::Run(server.address(), {"embed", folder.path(), "--concurrency", "5"});

  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(server.most_in_flight(), 5);
}

TEST(CliEmbedTest, LeavesOutFilesThatFailAndListsThemAtTheEnd) {
  FakeServer server(AnswerNumbers);
  TemporaryDirectory folder;
  const std::string good = folder.Write("good.jpg", "1");
  const std::string bad = folder.Write("bad.jpg", "bad");
  const std::string last = folder.Write("last.jpg", "2");
  const std::string large = folder.Write("large.jpg", std::string(1001, '1'));

  const auto result = TomeProcess::Run(
      server.address(),
      {"embed", good, bad, folder / "missing.jpg", large, last, "--out", folder / "out.npy"});

  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(ParseNpy(folder.Read("out.npy")).values, ElementsAre(1.0f, 1.0f, 2.0f, 1.0f));
  EXPECT_EQ(folder.Read("out.npy.paths.txt"), good + "\n" + last + "\n");
  EXPECT_THAT(result.err, HasSubstr("2 of 5 files embedded"));
  EXPECT_THAT(result.err, HasSubstr("3 failed:\n"));
  EXPECT_THAT(result.err,
              HasSubstr(bad + ": INVALID_ARGUMENT: input.encoded: neither a JPEG nor a PNG file"));
  EXPECT_THAT(result.err, HasSubstr("missing.jpg: NOT_FOUND: no such file or folder"));
  EXPECT_THAT(result.err, HasSubstr("the file has 1001 bytes, the server takes at most 1000"));
  EXPECT_EQ(server.calls().size(), 3u);
}

TEST(CliEmbedTest, TellsFailuresAsJson) {
  FakeServer server(AnswerNumbers);
  TemporaryDirectory folder;
  const std::string good = folder.Write("good.jpg", "1");
  const std::string bad = folder.Write("bad.jpg", "bad");

  const auto result = TomeProcess::Run(
      server.address(), {"--json", "embed", good, bad, "--out", folder / "out.jsonl"});

  EXPECT_EQ(result.exit_code, 1);
  const json summary = json::parse(result.out);
  EXPECT_EQ(summary["embedded"], 1);
  EXPECT_EQ(summary["not_embedded"], 0);
  ASSERT_EQ(summary["failed"].size(), 1u) << summary;
  EXPECT_EQ(summary["failed"][0]["path"], bad);
  EXPECT_EQ(summary["failed"][0]["error"]["code"], "INVALID_ARGUMENT");
  EXPECT_EQ(JsonLines(folder.Read("out.jsonl")).size(), 1u);
}

TEST(CliEmbedTest, TakesThePicturesOfAFolderInOrderAndOfSubfoldersIfAsked) {
  FakeServer server(AnswerNumbers);
  TemporaryDirectory folder;
  const std::string b = folder.Write("b.jpg", "1");
  const std::string a = folder.Write("a.JPEG", "1");
  const std::string c = folder.Write("deep/er/c.png", "1");
  folder.Write("notes.txt", "not a picture");

  const auto flat = TomeProcess::Run(server.address(), {"embed", folder.path()});
  const auto deep = TomeProcess::Run(server.address(), {"embed", folder.path(), "--recursive"});

  EXPECT_EQ(flat.exit_code, 0) << flat.err;
  EXPECT_THAT(Paths(JsonLines(flat.out)), ElementsAre(a, b));
  EXPECT_EQ(deep.exit_code, 0) << deep.err;
  EXPECT_THAT(Paths(JsonLines(deep.out)), ElementsAre(a, b, c));
}

TEST(CliEmbedTest, SaysWhenAFolderHoldsNoPicture) {
  FakeServer server(AnswerNumbers);
  TemporaryDirectory folder;
  folder.Write("deep/a.jpg", "1");

  const auto result = TomeProcess::Run(server.address(), {"embed", folder.path()});

  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("--recursive looks into its subfolders"));
}

TEST(CliEmbedTest, SendsTheScheduleTheVectorsFormAndTheDigestOfTheRun) {
  FakeServer server(AnswerNumbers);
  TemporaryDirectory folder;
  const std::string picture = folder.Write("a.jpg", "1");

  for (const std::vector<std::string>& schedule :
       {std::vector<std::string>{"--linear", "16:-0.5"}, {"--per-block", "4,0,7"}, {}}) {
    std::vector<std::string> arguments = {"embed",        picture,   "--model",
                                          "vit",          "--dtype", "int8",
                                          "--dimensions", "2",       "--no-normalize"};
    arguments.insert(arguments.end(), schedule.begin(), schedule.end());
    const auto result = TomeProcess::Run(server.address(), arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
  }

  const auto calls = server.calls();
  ASSERT_EQ(calls.size(), 3u);
  EXPECT_EQ(calls[0].request.merge().linear().mean_r(), 16u);
  EXPECT_EQ(calls[0].request.merge().linear().inflection(), -0.5);
  EXPECT_THAT(calls[1].request.merge().per_block().r(), ElementsAre(4, 0, 7));
  EXPECT_FALSE(calls[2].request.has_merge());
  EXPECT_EQ(calls[0].request.model(), "vit");
  EXPECT_EQ(calls[0].request.if_weights_digest(), "d1");
  EXPECT_EQ(calls[0].request.output().element_type(), tome::v1::ELEMENT_TYPE_INT8);
  EXPECT_EQ(calls[0].request.output().dimensions(), 2u);
  EXPECT_EQ(calls[0].request.output().normalization(), tome::v1::NORMALIZATION_NONE);
}

TEST(CliEmbedTest, ComesBackWhenTheServerSaysSo) {
  FakeServer server([](const EmbedRequest& request, int call) {
    return call < 3 ? FakeServer::Full("1") : AnswerNumber(request);
  });
  TemporaryDirectory folder;
  const std::string picture = folder.Write("a.jpg", "1");

  const auto result = TomeProcess::Run(server.address(), {"embed", picture});

  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(server.calls().size(), 4u);
}

TEST(CliEmbedTest, EndsCleanlyWhenInterrupted) {
  FakeServer server([](const EmbedRequest& request, int call) {
    return call < 2 ? AnswerNumber(request) : FakeServer::Never();
  });
  TemporaryDirectory folder;
  for (int i = 0; i < 5; ++i) folder.Write(std::to_string(i) + ".jpg", std::to_string(i));
  TomeProcess tome(server.address(), {"embed", folder.path(), "--concurrency", "1", "--timeout",
                                      "1h", "--out", folder / "out.npy"});
  server.AwaitCalls(3);

  tome.Signal(SIGINT);
  const auto result = tome.Wait();

  EXPECT_EQ(result.exit_code, 130) << result.err;
  const Npy npy = ParseNpy(folder.Read("out.npy"));
  EXPECT_THAT(npy.shape, ElementsAre(2, 2));
  EXPECT_THAT(npy.values, ElementsAre(0.0f, 1.0f, 1.0f, 1.0f));
  EXPECT_THAT(result.err, AllOf(HasSubstr("2 of 5 files embedded"),
                                HasSubstr("broken off, 3 files not embedded")));
}

TEST(CliEmbedTest, StopsAtAFullDiskAndLeavesTheRowsBeforeReadable) {
  FakeServer server(AnswerNumbers);
  TemporaryDirectory folder;
  for (int i = 100; i < 400; ++i) folder.Write(std::to_string(i) + ".jpg", std::to_string(i));

  // A kilobyte holds 112 rows, and the paths of fewer.
  const auto result =
      TomeProcess(server.address(), {"embed", folder.path(), "--out", folder / "out.npy"}, 1024)
          .Wait();

  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("out.npy: File too large"));
  const Npy npy = ParseNpy(folder.Read("out.npy"));
  EXPECT_THAT(npy.shape, ElementsAre(::testing::AllOf(::testing::Gt(0), ::testing::Le(112)), 2));
  EXPECT_LT(server.calls().size(), 300u);
}

TEST(CliEmbedTest, ExitsWithThreeWhereNoServerAnswers) {
  std::string address;
  {
    FakeServer gone(AnswerNumbers);
    address = gone.address();
  }
  TemporaryDirectory folder;
  const std::string picture = folder.Write("a.jpg", "1");

  const auto result = TomeProcess::Run(address, {"embed", picture, "--out", folder / "out.npy"});

  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("no server answers at " + address));
  EXPECT_THAT(folder.Read("out.npy"), IsEmpty());
}

TEST(CliEmbedTest, ExitsWithTwoForAWrongCommandLineAndSendsNothing) {
  FakeServer server(AnswerNumbers);
  TemporaryDirectory folder;
  const std::string picture = folder.Write("a.jpg", "1");

  for (const std::vector<std::string>& wrong : {std::vector<std::string>{},
                                                {"--r", "8", "--linear", "16:-1"},
                                                {"--r", "-1"},
                                                {"--linear", "16"},
                                                {"--linear", "16:1.5"},
                                                {"--per-block", "4,,7"},
                                                {"--out", "out.csv"},
                                                {"--dtype", "double"},
                                                {"--concurrency", "0"},
                                                {"--dimensions", "3"},
                                                {"--timeout", "30"},
                                                {"--nonsense"}}) {
    std::vector<std::string> arguments = {"embed"};
    if (!wrong.empty()) arguments.push_back(picture);
    arguments.insert(arguments.end(), wrong.begin(), wrong.end());
    const auto result = TomeProcess::Run(server.address(), arguments);
    EXPECT_EQ(result.exit_code, 2) << ::testing::PrintToString(wrong) << ": " << result.err;
    EXPECT_THAT(result.err, Not(IsEmpty())) << ::testing::PrintToString(wrong);
  }
  EXPECT_THAT(server.calls(), IsEmpty());
}

TEST(CliEmbedTest, AnUnknownModelIsAnErrorOfItsOwn) {
  FakeServer server(AnswerNumbers);
  TemporaryDirectory folder;

  const auto result =
      TomeProcess::Run(server.address(), {"embed", folder.Write("a.jpg", "1"), "--model", "other"});

  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("NOT_FOUND: model: there is no 'other', there is: vit"));
}

TEST(CliEmbedTest, HelpTeachesWithExamples) {
  const auto result = TomeProcess::Run("", {"embed", "--help"});

  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, AllOf(HasSubstr("--per-block"), HasSubstr("tome embed photos")));
}

}  // namespace
}  // namespace tome::client
