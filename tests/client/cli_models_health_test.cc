#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include <nlohmann/json.hpp>

#include "tests/client/fake_server.h"
#include "tests/client/tome_process.h"

namespace tome::client {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::StartsWith;

FakeServer::Reply NotUsed(const tome::v1::EmbedRequest&, int) { return {}; }

TEST(CliModelsTest, ListsTheModels) {
  FakeServer server(NotUsed);

  const auto text = TomeProcess::Run(server.address(), {"models"});
  const auto machine = TomeProcess::Run(server.address(), {"models", "--json"});

  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, ContainsRegex("vit +vit_tiny_patch16_224 .* linear 8:-1"));
  EXPECT_EQ(machine.exit_code, 0) << machine.err;
  const json models = json::parse(machine.out)["models"];
  ASSERT_EQ(models.size(), 1u) << models;
  EXPECT_EQ(models[0]["name"], "vit");
  EXPECT_EQ(models[0]["embedding_dimensions"], 2);
}

TEST(CliModelsTest, ShowsTheFactsOfOneAndTheLimits) {
  FakeServer server(NotUsed);

  const auto text = TomeProcess::Run(server.address(), {"models", "vit"});
  const auto machine = TomeProcess::Run(server.address(), {"models", "vit", "--json"});

  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, AllOf(ContainsRegex("weights digest +d1\n"),
                              ContainsRegex("largest file +1000 bytes\n")));
  EXPECT_EQ(json::parse(machine.out)["limits"]["encoded_bytes"], 1000);
}

TEST(CliModelsTest, AnErrorIsJsonWhereJsonIsAskedFor) {
  FakeServer server(NotUsed);

  const auto result = TomeProcess::Run(server.address(), {"--json", "models", "other"});

  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(json::parse(result.err)["error"]["code"], "NOT_FOUND");
}

TEST(CliHealthTest, ExitsByWhatTheServerSays) {
  FakeServer server(NotUsed);

  const auto serving = TomeProcess::Run(server.address(), {"health"});
  const auto unknown = TomeProcess::Run(server.address(), {"health", "--service", "other"});
  server.SetServing(false);
  const auto not_serving = TomeProcess::Run(server.address(), {"health", "--json"});
  const auto whole = TomeProcess::Run(server.address(), {"health", "--service", ""});

  EXPECT_EQ(serving.exit_code, 0) << serving.err;
  EXPECT_EQ(serving.out, "SERVING\n");
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_EQ(unknown.out, "SERVICE_UNKNOWN\n");
  EXPECT_EQ(not_serving.exit_code, 1);
  EXPECT_EQ(json::parse(not_serving.out)["status"], "NOT_SERVING");
  EXPECT_EQ(whole.exit_code, 0) << whole.err;
}

TEST(CliHealthTest, ExitsWithThreeWhereNobodyListens) {
  std::string address;
  {
    FakeServer gone(NotUsed);
    address = gone.address();
  }

  const auto result = TomeProcess::Run(address, {"health"});

  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr(address));
}

TEST(CliTest, TheServerOptionGoesBeforeTheEnvironment) {
  FakeServer server(NotUsed);

  const auto result = TomeProcess::Run("127.0.0.1:1", {"health", "--server", server.address()});

  EXPECT_EQ(result.exit_code, 0) << result.err;
}

TEST(CliTest, TellsItsVersionAndItsCommands) {
  const auto version = TomeProcess::Run("", {"--version"});
  const auto help = TomeProcess::Run("", {"--help"});

  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.out, StartsWith("tome "));
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, AllOf(HasSubstr("embed"), HasSubstr("compare"), HasSubstr("models"),
                              HasSubstr("health"), HasSubstr("Exit code:")));
}

}  // namespace
}  // namespace tome::client
