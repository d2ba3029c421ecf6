#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "client/client.h"
#include "tests/client/fake_server.h"
#include "tests/client/tome_process.h"
#include "tests/testing/temporary_directory.h"

namespace tome::client {
namespace {

std::string TestData(const std::string& name) { return std::string(TOME_TEST_DATA "/") + name; }

std::string Read(const std::string& name) {
  std::ifstream in(TestData(name));
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// Shows its certificate and asks for the client's.
std::shared_ptr<grpc::ServerCredentials> MutualTls() {
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = Read("ca.pem");
  options.pem_key_cert_pairs.push_back({Read("server_key.pem"), Read("server.pem")});
  return grpc::SslServerCredentials(options);
}

FakeServer::Reply AnswerAlways(const tome::v1::EmbedRequest&, int) {
  return FakeServer::Answer({1.0f, 0.0f});
}

TEST(TlsTest, ShowsItsCertificateAndItsTokenToAServerItTrusts) {
  FakeServer server(AnswerAlways, MutualTls());
  ClientOptions options;
  options.server = server.address();
  options.tls = TlsFiles{TestData("ca.pem"), TestData("client.pem"), TestData("client_key.pem")};
  options.bearer_token = "secret";

  const absl::StatusOr<Embedding> embedding =
      (*Client::Create(options))->Embed(EncodedImage{"picture"});

  ASSERT_TRUE(embedding.ok()) << embedding.status();
  const FakeServer::Call call = server.calls().at(0);
  ASSERT_EQ(call.metadata.count("authorization"), 1u);
  EXPECT_EQ(call.metadata.find("authorization")->second, "Bearer secret");
}

TEST(TlsTest, IsRefusedWithoutItsCertificate) {
  FakeServer server(AnswerAlways, MutualTls());
  ClientOptions options;
  options.server = server.address();
  options.tls = TlsFiles{TestData("ca.pem"), "", ""};
  options.retry.max_unavailable_retries = 0;

  const absl::Status status = (*Client::Create(options))->Embed(EncodedImage{"picture"}).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_EQ(server.calls().size(), 0u);
}

TEST(TlsTest, TheCommandLineTakesTheFilesAndTheToken) {
  FakeServer server(AnswerAlways, MutualTls());
  TemporaryDirectory folder;

  const auto result = TomeProcess::Run(
      server.address(),
      {"embed", folder.Write("a.jpg", "picture"), "--tls-ca", TestData("ca.pem"),
       "--tls-certificate", TestData("client.pem"), "--tls-key", TestData("client_key.pem"),
       "--token-file", folder.Write("token", "secret\n")});

  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto calls = server.calls();
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0].metadata.find("authorization")->second, "Bearer secret");
}

TEST(TlsTest, ATokenFileThatHoldsNoOneTokenIsAUsageError) {
  TemporaryDirectory folder;

  for (const std::string& file :
       {folder / "missing", folder.Write("empty", "\n"), folder.Write("two", "one\ntwo\n")}) {
    const auto result = TomeProcess::Run("127.0.0.1:1", {"health", "--token-file", file});
    EXPECT_EQ(result.exit_code, 2) << file << ": " << result.err;
  }
}

}  // namespace
}  // namespace tome::client
