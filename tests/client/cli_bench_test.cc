#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <set>
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

// Embedded in 3 ms, in a batch of 2, by its own account.
FakeServer::Reply Embedded() {
  FakeServer::Reply reply = FakeServer::Answer({1.0f});
  tome::v1::Timing& timing = *reply.response.mutable_embedding()->mutable_timing();
  timing.mutable_compute()->set_nanos(3'000'000);
  timing.mutable_decode()->set_nanos(2'000'000);
  timing.set_batch_images(2);
  return reply;
}

// A run of three windows, alike or not, in less than half a second.
std::vector<std::string> ShortRun(const std::vector<std::string>& more) {
  std::vector<std::string> words = {"bench", "--warm-up",      "10ms", "--window",
                                    "100ms", "--max-duration", "300ms"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST(CliBenchTest, SendsAllPicturesAndTellsWhatCameBack) {
  FakeServer server([](const EmbedRequest& request, int) {
    return request.input().encoded() == "bad"
               ? FakeServer::Error(grpc::StatusCode::INVALID_ARGUMENT, "no picture")
               : Embedded();
  });
  TemporaryDirectory folder;
  folder.Write("photos/a.jpg", "good");
  folder.Write("photos/b.jpg", "bad");

  const auto result = TomeProcess::Run(
      server.address(),
      ShortRun({folder / "photos", "--concurrency", "2", "--r", "4", "--out", folder / "o.json"}));

  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("vit, r 4, closed loop, 2 at once\n"));
  EXPECT_THAT(result.out, HasSubstr("INVALID_ARGUMENT"));
  EXPECT_THAT(result.err, HasSubstr("window 3: "));
  const json told = json::parse(folder.Read("o.json"));
  EXPECT_EQ(told["loop"], "closed");
  EXPECT_GT(told["embedded"], 0);
  EXPECT_GT(told["errors"]["INVALID_ARGUMENT"], 0);
  EXPECT_GT(told["latency_ms"]["p50"], 0.0);
  EXPECT_EQ(told["mean_stage_ms"]["compute"], 3.0);
  EXPECT_EQ(told["mean_stage_ms"]["decode"], 2.0);
  EXPECT_EQ(told["mean_stage_ms"]["queue"], nullptr);
  EXPECT_EQ(told["mean_batch_images"], 2.0);
  EXPECT_NEAR(told["outside_decode_preprocess_compute_ms"]["mean"].get<double>(),
              told["latency_ms"]["mean"].get<double>() - 5.0, 1e-6);
  EXPECT_EQ(server.calls().front().request.merge().constant(), 4u);
  EXPECT_LE(server.most_in_flight(), 2);
}

TEST(CliBenchTest, AnOpenLoopOverOneStreamMixesR) {
  FakeServer server([](const EmbedRequest&, int) { return Embedded(); });
  TemporaryDirectory folder;

  const auto result =
      TomeProcess::Run(server.address(), ShortRun({folder.Write("a.jpg", "picture"), "--rate",
                                                   "300", "--stream", "--r", "0:1,8:1", "--json"}));

  EXPECT_EQ(result.exit_code, 0) << result.err;
  const json told = json::parse(result.out);
  EXPECT_EQ(told["loop"], "open");
  EXPECT_EQ(told["calls"], "stream");
  EXPECT_EQ(told["rate"], 300.0);
  EXPECT_GT(told["embedded"], 0);
  EXPECT_EQ(server.streams(), 1);
  std::set<uint32_t> r;
  for (const FakeServer::Call& call : server.calls()) r.insert(call.request.merge().constant());
  EXPECT_EQ(r, (std::set<uint32_t>{0, 8}));
}

TEST(CliBenchTest, ARefusedPictureIsCountedAndNotSentAgain) {
  FakeServer server([](const EmbedRequest&, int) { return FakeServer::Full("1"); });
  TemporaryDirectory folder;

  const auto result =
      TomeProcess::Run(server.address(), ShortRun({folder.Write("a.jpg", "picture"), "--json"}));

  EXPECT_EQ(result.exit_code, 1) << result.err;
  const json told = json::parse(result.out);
  EXPECT_EQ(told["embedded"], 0);
  EXPECT_GT(told["errors"]["RESOURCE_EXHAUSTED"], 0);
  EXPECT_EQ(told["latency_ms"]["p50"], nullptr);
}

TEST(CliBenchTest, AnInterruptEndsIt) {
  FakeServer server([](const EmbedRequest&, int) { return FakeServer::Never(); });
  TemporaryDirectory folder;

  TomeProcess tome(server.address(), {"bench", folder.Write("a.jpg", "picture")});
  server.AwaitCalls(8);
  tome.Signal(SIGINT);
  const auto result = tome.Wait();

  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_THAT(result.out, HasSubstr("interrupted"));
}

TEST(CliBenchTest, WhatCannotBeMeasuredIsAUsageError) {
  FakeServer server([](const EmbedRequest&, int) { return Embedded(); });
  TemporaryDirectory folder;
  const std::string picture = folder.Write("a.jpg", "picture");
  const auto run = [&](const std::vector<std::string>& words) {
    return TomeProcess::Run(server.address(), words);
  };

  const auto no_file = run({"bench", picture, folder / "missing.jpg"});
  const auto short_run = run({"bench", picture, "--window", "30s"});
  const auto both = run({"bench", picture, "--rate", "3", "--concurrency", "3"});
  const auto no_folder = run({"bench", picture, "--out", folder / "missing/o.json"});

  EXPECT_EQ(no_file.exit_code, 2);
  EXPECT_THAT(no_file.err, HasSubstr("missing.jpg: no such file or folder"));
  EXPECT_EQ(short_run.exit_code, 2);
  EXPECT_THAT(short_run.err, HasSubstr("--max-duration: 1m is less than 3 times --window, 30s"));
  EXPECT_EQ(both.exit_code, 2);
  EXPECT_THAT(both.err, HasSubstr("--concurrency"));
  EXPECT_EQ(no_folder.exit_code, 2);
  EXPECT_THAT(no_folder.err, HasSubstr("--out: "));
  EXPECT_EQ(server.calls().size(), 0u);
}

}  // namespace
}  // namespace tome::client
