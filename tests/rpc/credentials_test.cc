#include "server/rpc/credentials.h"

#include <gmock/gmock.h>
#include <grpc/health/v1/health.grpc.pb.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/rpc/loopback_server.h"
#include "tests/testing/metric_value.h"
#include "tests/testing/temporary_directory.h"

namespace tome {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class CredentialsTest : public testing::Test {
 protected:
  std::string Read(const std::string& name) const {
    const std::string text = directory_.Read(name);
    EXPECT_FALSE(text.empty()) << name;
    return text;
  }

  // NAME.pem and NAME.key: a certificate for localhost that signs itself.
  void MakeCertificate(const std::string& name) const {
    const std::string command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        " -subj /CN=" +
        name + " -addext subjectAltName=DNS:localhost -keyout '" + directory_ / (name + ".key") +
        "' -out '" + directory_ / (name + ".pem") + "' 2>'" + directory_ / "openssl.log" + "'";
    ASSERT_EQ(std::system(command.c_str()), 0) << Read("openssl.log");
  }

  std::shared_ptr<grpc::ServerCredentials> ServerSide(const TlsFiles& files) const {
    const auto credentials = MakeServerCredentials(files);
    EXPECT_TRUE(credentials.ok()) << credentials.status();
    return credentials.value_or(nullptr);
  }

  // Embed over TLS by a client that trusts `root`, takes the server's name for localhost and shows
  // the certificate `own`, if any.
  grpc::Status EmbedOverTls(const LoopbackServer& server, const std::string& root,
                            const std::string& own = "") const {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = Read(root + ".pem");
    if (!own.empty()) {
      options.pem_private_key = Read(own + ".key");
      options.pem_cert_chain = Read(own + ".pem");
    }
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("localhost");
    const auto stub = v1::EmbeddingService::NewStub(grpc::CreateCustomChannel(
        server.server->address(), grpc::SslCredentials(options), arguments));
    return Embed(*stub, SmallRequest()).status;
  }

  TemporaryDirectory directory_;
};

TEST_F(CredentialsTest, ATlsServerAnswersThoseWhoTrustIt) {
  MakeCertificate("server");
  LoopbackServer server({.credentials = ServerSide({.certificate = directory_ / "server.pem",
                                                    .key = directory_ / "server.key"})});
  server.Serve();

  const grpc::Status trusted = EmbedOverTls(server, "server");
  const Reply plain_text = Embed(*server.stub, SmallRequest());

  EXPECT_TRUE(trusted.ok()) << trusted.error_message();
  EXPECT_EQ(plain_text.status.error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(CredentialsTest, MutualTlsAsksForACertificateOfTheClientAuthority) {
  MakeCertificate("server");
  MakeCertificate("client");
  MakeCertificate("stranger");
  LoopbackServer server({.credentials = ServerSide({.certificate = directory_ / "server.pem",
                                                    .key = directory_ / "server.key",
                                                    .client_ca = directory_ / "client.pem"})});
  server.Serve();

  const grpc::Status known = EmbedOverTls(server, "server", "client");
  const grpc::Status none = EmbedOverTls(server, "server");
  const grpc::Status stranger = EmbedOverTls(server, "server", "stranger");

  EXPECT_TRUE(known.ok()) << known.error_message();
  EXPECT_EQ(none.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(stranger.error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(CredentialsTest, FilesThatDoNotFitStopTheStartByName) {
  MakeCertificate("server");
  MakeCertificate("other");
  const std::string junk = directory_.Write("junk.pem", "not a certificate");
  const auto problem = [](const TlsFiles& files) {
    const absl::Status status = MakeServerCredentials(files).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  };

  EXPECT_THAT(
      problem({.certificate = directory_ / "missing.pem", .key = directory_ / "server.key"}),
      HasSubstr("missing.pem: not a certificate chain"));
  EXPECT_THAT(problem({.certificate = junk, .key = directory_ / "server.key"}),
              HasSubstr("junk.pem: not a certificate chain"));
  EXPECT_THAT(problem({.certificate = directory_ / "server.pem", .key = directory_ / "other.key"}),
              HasSubstr("other.key: not the unencrypted PEM key of"));
  EXPECT_THAT(problem({.certificate = directory_ / "server.pem",
                       .key = directory_ / "server.key",
                       .client_ca = junk}),
              HasSubstr("junk.pem: no certificate authorities"));
  EXPECT_THAT(problem({.certificate = directory_ / "server.pem"}), HasSubstr("key file"));
}

TEST_F(CredentialsTest, OnlyCallsWithAValidTokenAreAnswered) {
  const auto tokens =
      BearerTokens::FromFile(directory_.Write("tokens", "first-token\n\n  second-token \n"));
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  LoopbackServer server({.tokens = *tokens});
  server.Serve();
  const auto status_with = [&server](const char* authorization) {
    grpc::ClientContext context;
    if (authorization != nullptr) context.AddMetadata("authorization", authorization);
    return Embed(*server.stub, SmallRequest(), context).status;
  };

  EXPECT_TRUE(status_with("Bearer first-token").ok());
  EXPECT_TRUE(status_with("bearer second-token").ok());
  const grpc::Status missing = status_with(nullptr);
  for (const char* wrong : {"Bearer first-tokem", "Bearer first", "Bearer ", "Basic first-token",
                            "first-token", "Bearer first-token second-token"}) {
    EXPECT_EQ(status_with(wrong).error_code(), grpc::StatusCode::UNAUTHENTICATED) << wrong;
    EXPECT_EQ(status_with(wrong).error_message(), missing.error_message()) << wrong;
  }
  EXPECT_EQ(missing.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(server.engine.batches(), SizeIs(2));
}

TEST_F(CredentialsTest, EveryMethodAsksForAToken) {
  const auto tokens = BearerTokens::FromFile(directory_.Write("tokens", "token"));
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  LoopbackServer server({.tokens = *tokens});
  server.Serve();

  grpc::ClientContext batch;
  v1::EmbedBatchResponse batch_response;
  grpc::ClientContext list;
  v1::ListModelsResponse list_response;
  grpc::ClientContext get;
  v1::GetModelResponse get_response;
  grpc::ClientContext stream;

  EXPECT_EQ(server.stub->EmbedBatch(&batch, {}, &batch_response).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(server.stub->ListModels(&list, {}, &list_response).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(server.stub->GetModel(&get, {}, &get_response).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(server.stub->EmbedStream(&stream)->Finish().error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(MetricValue(server.metrics, "requests_total", {{"code", "UNAUTHENTICATED"}}), 4);
}

TEST_F(CredentialsTest, HealthAsksForNoToken) {
  const auto tokens = BearerTokens::FromFile(directory_.Write("tokens", "token"));
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  LoopbackServer server({.tokens = *tokens});
  server.Serve();

  grpc::ClientContext context;
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status =
      grpc::health::v1::Health::NewStub(server.Connect())->Check(&context, {}, &response);

  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
}

TEST_F(CredentialsTest, ATokenFileWithoutTokensIsRefused) {
  const absl::Status empty = BearerTokens::FromFile(directory_.Write("tokens", " \n\n")).status();
  const absl::Status missing = BearerTokens::FromFile(directory_ / "missing").status();

  EXPECT_THAT(std::string(empty.message()), HasSubstr("tokens: holds no token"));
  EXPECT_THAT(std::string(missing.message()), HasSubstr("missing: cannot be read"));
}

}  // namespace
}  // namespace tome
