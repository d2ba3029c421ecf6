#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
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
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using tome::v1::EmbedRequest;

// A picture is a number in a file; its embedding is that number and 1.
FakeServer::Reply AnswerNumber(const EmbedRequest& request, int) {
  return FakeServer::Answer({std::stof(request.input().encoded()), 1.0f});
}

// Two answers, then none.
FakeServer::Reply AnswerTwo(const EmbedRequest& request, int call) {
  return call < 2 ? AnswerNumber(request, call) : FakeServer::Never();
}

struct Row {
  std::string path;
  float number = 0.0f;
  bool operator==(const Row& other) const = default;
};

// A run over five pictures that ends after two, with rows in the format of the parameter.
class CliResumeTest : public ::testing::TestWithParam<std::string> {
 protected:
  CliResumeTest() {
    for (int i = 0; i < 5; ++i) {
      const std::string name = "pictures/" + std::to_string(i) + ".jpg";
      all_.push_back({folder_.Write(name, std::to_string(i)), static_cast<float>(i)});
    }
  }

  std::string out() const { return folder_ / OutName(); }
  std::string OutName() const { return "out" + GetParam(); }
  std::vector<std::string> Arguments(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"embed", folder_ / "pictures", "--out",
                                          out(),   "--concurrency",      "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  // Ends with two rows there.
  void Interrupt(int signal) const {
    FakeServer server(AnswerTwo);
    TomeProcess tome(server.address(), Arguments({"--timeout", "1h"}));
    server.AwaitCalls(3);
    tome.Signal(signal);
    const auto result = tome.Wait();
    if (signal == SIGINT) {
      EXPECT_EQ(result.exit_code, 130) << result.err;
      EXPECT_THAT(result.err, HasSubstr("--resume goes on from here"));
    }
  }

  std::vector<Row> Rows() const {
    std::vector<Row> rows;
    if (GetParam() == ".npy") {
      const Npy npy = ParseNpy(folder_.Read(OutName()));
      std::ifstream paths(out() + ".paths.txt");
      for (size_t i = 0; i < npy.values.size(); i += 2) {
        std::string path;
        std::getline(paths, path);
        rows.push_back({path, npy.values[i]});
      }
      std::string surplus;
      EXPECT_FALSE(std::getline(paths, surplus)) << surplus;
    } else {
      std::ifstream lines(out());
      for (std::string line; std::getline(lines, line);) {
        const json row = json::parse(line);
        rows.push_back({row["path"], row["vector"][0]});
      }
    }
    return rows;
  }

  TemporaryDirectory folder_;
  std::vector<Row> all_;
};

TEST_P(CliResumeTest, GoesOnWhereAnInterruptedRunEnded) {
  Interrupt(SIGINT);
  FakeServer server(AnswerNumber);

  const auto result = TomeProcess::Run(server.address(), Arguments({"--resume"}));

  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("3 of 5 files embedded"));
  EXPECT_THAT(result.err, HasSubstr("2 before"));
  EXPECT_EQ(Rows(), all_);
  EXPECT_EQ(server.calls().size(), 3u);
}

TEST_P(CliResumeTest, GoesOnWhereAKilledRunEnded) {
  Interrupt(SIGKILL);
  FakeServer server(AnswerNumber);

  const auto result = TomeProcess::Run(server.address(), Arguments({"--resume"}));

  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(Rows(), all_);
  EXPECT_EQ(server.calls().size(), 3u);
}

TEST_P(CliResumeTest, DropsARowThatIsNotWholeAndEmbedsItAgain) {
  Interrupt(SIGINT);
  for (const std::string& file : {out(), out() + ".paths.txt"}) {
    if (std::filesystem::exists(file)) {
      std::ofstream(file, std::ios::app | std::ios::binary) << "half";
    }
  }
  FakeServer server(AnswerNumber);

  const auto result = TomeProcess::Run(server.address(), Arguments({"--resume"}));

  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(Rows(), all_);
}

TEST_P(CliResumeTest, HasNothingToDoAfterAWholeRun) {
  FakeServer server(AnswerNumber);
  ASSERT_EQ(TomeProcess::Run(server.address(), Arguments()).exit_code, 0);

  const auto result = TomeProcess::Run(server.address(), Arguments({"--resume"}));

  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(Rows(), all_);
  EXPECT_EQ(server.calls().size(), 5u);
}

TEST_P(CliResumeTest, BeginsWhereNothingIsThere) {
  FakeServer server(AnswerNumber);

  const auto result = TomeProcess::Run(server.address(), Arguments({"--resume"}));

  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(Rows(), all_);
}

TEST_P(CliResumeTest, RefusesToMixRowsOfTwoSchedules) {
  Interrupt(SIGINT);
  FakeServer server(AnswerNumber);

  const auto result = TomeProcess::Run(server.address(), Arguments({"--resume", "--r", "4"}));

  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr(R"(made with schedule "linear 8:-1", this run has "r 4")"));
  EXPECT_THAT(server.calls(), IsEmpty());
  EXPECT_EQ(Rows().size(), 2u);
}

TEST_P(CliResumeTest, RefusesAFileWithoutARecordOfItsRun) {
  Interrupt(SIGINT);
  std::filesystem::remove(out() + ".run.json");
  FakeServer server(AnswerNumber);

  const auto result = TomeProcess::Run(server.address(), Arguments({"--resume"}));

  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr(OutName() + ".run.json"));
  EXPECT_EQ(Rows().size(), 2u);
}

TEST_P(CliResumeTest, WithoutItTheFileIsReplaced) {
  Interrupt(SIGINT);
  FakeServer server(AnswerNumber);

  const auto result = TomeProcess::Run(server.address(), Arguments());

  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(Rows(), all_);
  EXPECT_EQ(server.calls().size(), 5u);
}

TEST_P(CliResumeTest, EmbedsAPictureThatIsNamedTwiceTwice) {
  FakeServer server(AnswerNumber);
  const std::string picture = all_[3].path;

  ASSERT_EQ(TomeProcess::Run(server.address(), {"embed", picture, "--out", out()}).exit_code, 0);
  const auto result =
      TomeProcess::Run(server.address(), {"embed", picture, picture, "--out", out(), "--resume"});

  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(Rows(), ElementsAre(all_[3], all_[3]));
}

INSTANTIATE_TEST_SUITE_P(Formats, CliResumeTest, ::testing::Values(".npy", ".jsonl"),
                         [](const auto& instance) { return instance.param.substr(1); });

}  // namespace
}  // namespace tome::client
