#include "server/rpc/server.h"

#include <gmock/gmock.h>
#include <grpc/health/v1/health.grpc.pb.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "server/base/clock.h"

namespace tome {
namespace {

using ::grpc::health::v1::Health;
using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

constexpr char kServiceName[] = "tome.v1.EmbeddingService";

class RpcServerTest : public testing::Test {
 protected:
  static RpcServer::Options Loopback() {
    return {.listen = "127.0.0.1:0", .credentials = grpc::InsecureServerCredentials()};
  }

  void StartServer(const RpcServer::Options& options = Loopback()) {
    absl::StatusOr<std::unique_ptr<RpcServer>> server = RpcServer::Start(options, service_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials());
  }

  // What a stream that nobody ends is ended with.
  static grpc::Status AwaitEnd(const std::shared_ptr<grpc::Channel>& channel) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    const auto watch = Health::NewStub(channel)->Watch(&context, HealthCheckRequest());
    HealthCheckResponse response;
    EXPECT_TRUE(watch->Read(&response));
    while (watch->Read(&response)) continue;
    return watch->Finish();
  }

  // The status of a health name; -1 where the server does not know it.
  int HealthOf(const std::string& name) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    HealthCheckRequest request;
    request.set_service(name);
    HealthCheckResponse response;
    const grpc::Status status = Health::NewStub(channel_)->Check(&context, request, &response);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return -1;
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.status();
  }

  v1::EmbeddingService::CallbackService service_;
  std::unique_ptr<RpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(RpcServerTest, ReportsThePortItBound) {
  StartServer();

  EXPECT_THAT(server_->address(), MatchesRegex("127\\.0\\.0\\.1:[1-9][0-9]*"));
}

TEST_F(RpcServerTest, ASecondServerOnThePortIsRefused) {
  StartServer();
  RpcServer::Options options = Loopback();
  options.listen = server_->address();

  v1::EmbeddingService::CallbackService service;
  const absl::StatusOr<std::unique_ptr<RpcServer>> second = RpcServer::Start(options, service);

  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition) << second.status();
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("cannot listen on \"" + server_->address() + "\""));
}

TEST_F(RpcServerTest, HealthFollowsServingAndLivenessDoesNot) {
  StartServer();
  EXPECT_EQ(HealthOf(""), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(HealthOf(kServiceName), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(HealthOf("liveness"), HealthCheckResponse::SERVING);

  server_->SetServing(true);
  EXPECT_EQ(HealthOf(""), HealthCheckResponse::SERVING);
  EXPECT_EQ(HealthOf(kServiceName), HealthCheckResponse::SERVING);

  server_->SetServing(false);
  EXPECT_EQ(HealthOf(""), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(HealthOf(kServiceName), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(HealthOf("liveness"), HealthCheckResponse::SERVING);
  EXPECT_EQ(HealthOf("another.Service"), -1);
}

TEST_F(RpcServerTest, AWatcherSeesEachChangeAndDoesNotHoldTheShutdown) {
  StartServer();
  grpc::ClientContext context;
  HealthCheckRequest request;
  request.set_service(kServiceName);
  const auto watch = Health::NewStub(channel_)->Watch(&context, request);
  HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  server_->SetServing(true);
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);

  const absl::Time before = Clock::Steady().Now();
  server_->Shutdown(absl::Seconds(30));

  EXPECT_LT(Clock::Steady().Now() - before, absl::Seconds(20));
  EXPECT_FALSE(watch->Finish().ok());
}

TEST_F(RpcServerTest, AClientThatPingsTooOftenLosesItsConnection) {
  RpcServer::Options options = Loopback();
  options.min_ping_interval = absl::Minutes(5);
  StartServer(options);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);

  const grpc::Status status = AwaitEnd(
      grpc::CreateCustomChannel(server_->address(), grpc::InsecureChannelCredentials(), arguments));

  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  EXPECT_EQ(HealthOf("liveness"), HealthCheckResponse::SERVING) << "others are served";
}

TEST_F(RpcServerTest, AnAgedConnectionsCallsEndAfterTheGraceAndNewOnesFindAnother) {
  RpcServer::Options options = Loopback();
  options.max_connection_age = absl::Milliseconds(50);
  options.max_connection_age_grace = absl::Milliseconds(50);
  StartServer(options);

  const grpc::Status status = AwaitEnd(channel_);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  EXPECT_EQ(HealthOf("liveness"), HealthCheckResponse::SERVING);
}

TEST_F(RpcServerTest, ReflectionListsTheServices) {
  StartServer();
  // A ServerReflectionRequest with list_services (field 7) set to "*".
  const grpc::Slice request("\x3a\x01*", 3);
  grpc::ByteBuffer sent(&request, 1);

  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  grpc::GenericStub stub(channel_);
  auto call = stub.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  const auto await = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  call->StartCall(nullptr);
  ASSERT_TRUE(await());
  call->Write(sent, nullptr);
  ASSERT_TRUE(await());
  grpc::ByteBuffer received;
  call->Read(&received, nullptr);
  ASSERT_TRUE(await());
  call->WritesDone(nullptr);
  ASSERT_TRUE(await());
  grpc::Status status;
  call->Finish(&status, nullptr);
  ASSERT_TRUE(await());

  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(received.Dump(&slices).ok());
  std::string listed;
  for (const grpc::Slice& slice : slices) {
    listed.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  EXPECT_THAT(listed, AllOf(HasSubstr(kServiceName), HasSubstr("grpc.health.v1.Health")));
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(RpcServerTest, ShutdownWithoutCallsReturnsAtOnceAndAgain) {
  StartServer();
  ASSERT_EQ(HealthOf("liveness"), HealthCheckResponse::SERVING);

  const absl::Time before = Clock::Steady().Now();
  server_->Shutdown(absl::Seconds(30));
  server_->Shutdown(absl::Seconds(30));

  EXPECT_LT(Clock::Steady().Now() - before, absl::Seconds(20));
}

}  // namespace
}  // namespace tome
