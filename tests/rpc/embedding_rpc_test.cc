#include "server/rpc/embedding_rpc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "server/base/log.h"
#include "tests/rpc/loopback_server.h"
#include "tests/rpc/status_details.h"
#include "tests/testing/gate.h"
#include "tests/testing/metric_value.h"

namespace tome {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kPushback[] = "grpc-retry-pushback-ms";

double Finished(const LoopbackServer& server, const std::string& method, const std::string& code) {
  return MetricValue(server.metrics, "requests_total", {{"method", method}, {"code", code}});
}

void ExpectEveryCallCountedOnce(const LoopbackServer& server, int calls) {
  EXPECT_EQ(MetricValue(server.metrics, "requests_started_total"), calls);
  EXPECT_EQ(MetricValue(server.metrics, "requests_total"), calls);
  EXPECT_EQ(MetricValue(server.metrics, "request_duration_seconds"), calls);
}

// A call under way on a thread of its own.
class PendingEmbed {
 public:
  PendingEmbed(LoopbackServer& server, char shade)
      : thread_([this, &server, shade] {
          reply_ = Embed(*server.stub, SmallRequest(shade), context_);
        }) {}
  ~PendingEmbed() {
    if (thread_.joinable()) thread_.join();
  }

  void Cancel() { context_.TryCancel(); }
  Reply Await() {
    thread_.join();
    return reply_;
  }

 private:
  grpc::ClientContext context_;
  Reply reply_;
  std::thread thread_;
};

TEST(EmbeddingRpcTest, AnswersWithTheVectorAndWhatWasApplied) {
  LoopbackServer server;
  server.Serve();
  v1::EmbedRequest request = SmallRequest();
  request.mutable_merge()->set_constant(3);
  request.mutable_output()->set_normalization(v1::NORMALIZATION_NONE);
  request.mutable_output()->set_merge_map(true);
  request.mutable_output()->set_tokens(true);

  const Reply reply = Embed(*server.stub, request);

  ASSERT_TRUE(reply.status.ok()) << reply.status.error_message();
  EXPECT_EQ(reply.response.model().name(), "small");
  EXPECT_EQ(reply.response.model().weights_digest(), "0123456789abcdef");
  const v1::Embedding& embedding = reply.response.embedding();
  const std::vector<uint8_t> pixels(8 * 8 * 3, 'x');
  const std::vector<int> merges = {3, 3, 3};
  const std::vector<float> expected = server.engine.EmbeddingOf(pixels, merges);
  ASSERT_THAT(embedding.vector().data(), SizeIs(expected.size() * sizeof(float)));
  EXPECT_EQ(std::memcmp(embedding.vector().data().data(), expected.data(),
                        embedding.vector().data().size()),
            0);
  EXPECT_THAT(embedding.applied().merged_per_block(), ElementsAre(3, 3, 3));
  EXPECT_EQ(embedding.applied().tokens_in(), 17u);
  EXPECT_EQ(embedding.applied().tokens_out(), 8u);
  EXPECT_THAT(embedding.merge_map().group_of_patch(), SizeIs(16));
  EXPECT_EQ(embedding.tokens().count(), 8u);
  EXPECT_EQ(Finished(server, "Embed", "OK"), 1);
  ExpectEveryCallCountedOnce(server, 1);
}

TEST(EmbeddingRpcTest, AnAbsentMergeIsTheModelsDefault) {
  LoopbackServer server;
  server.Serve();

  const Reply reply = Embed(*server.stub, SmallRequest());

  ASSERT_TRUE(reply.status.ok()) << reply.status.error_message();
  EXPECT_THAT(reply.response.embedding().applied().merged_per_block(), ElementsAre(2, 2, 2));
}

TEST(EmbeddingRpcTest, EchoesTheRequestId) {
  LoopbackServer server;
  server.Serve();
  grpc::ClientContext context;
  context.AddMetadata("x-request-id", "search 42/b");

  const Reply reply = Embed(*server.stub, SmallRequest(), context);

  EXPECT_TRUE(reply.status.ok()) << reply.status.error_message();
  EXPECT_EQ(ValueOf(reply.initial_metadata, "x-request-id"), "search 42/b");
}

TEST(EmbeddingRpcTest, TellsTheTimeOfEachStageInATrailer) {
  LoopbackServer server;
  server.Serve();

  const Reply reply = Embed(*server.stub, SmallRequest());

  ASSERT_TRUE(reply.status.ok()) << reply.status.error_message();
  EXPECT_THAT(ValueOf(reply.trailing_metadata, "server-timing"),
              testing::MatchesRegex("(decode;dur=[0-9.]+, )?(preprocess;dur=[0-9.]+, )?"
                                    "queue;dur=[0-9.]+, compute;dur=[0-9.]+"));
}

TEST(EmbeddingRpcTest, LogsACallWithItsRequestIdAndTheCallersTraceId) {
  LoopbackServer server;
  server.Serve();
  grpc::ClientContext context;
  context.AddMetadata("x-request-id", "id-9");
  context.AddMetadata("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  SetLogLevel(LogLevel::kDebug);
  testing::internal::CaptureStderr();

  const Reply reply = Embed(*server.stub, SmallRequest(), context);

  const std::string log = testing::internal::GetCapturedStderr();
  SetLogLevel(LogLevel::kInfo);
  EXPECT_TRUE(reply.status.ok()) << reply.status.error_message();
  EXPECT_THAT(log, testing::ContainsRegex("call method=Embed request_id=id-9 code=OK .*"
                                          "trace_id=4bf92f3577b34da6a3ce929d0e0e4736"));
}

TEST(EmbeddingRpcTest, MakesARequestIdWhereThereIsNoneOrATooLongOne) {
  LoopbackServer server;
  server.Serve();
  grpc::ClientContext context;
  const std::string too_long(129, 'a');
  context.AddMetadata("x-request-id", too_long);

  const std::string none =
      ValueOf(Embed(*server.stub, SmallRequest()).initial_metadata, "x-request-id");
  const std::string replaced =
      ValueOf(Embed(*server.stub, SmallRequest(), context).initial_metadata, "x-request-id");

  EXPECT_THAT(none, Not(IsEmpty()));
  EXPECT_THAT(replaced, AllOf(Not(IsEmpty()), Not(HasSubstr("aaa"))));
  EXPECT_NE(none, replaced);
}

TEST(EmbeddingRpcTest, NamesTheWrongFieldAndTheRequest) {
  LoopbackServer server;
  server.Serve();
  v1::EmbedRequest request = SmallRequest();
  request.mutable_merge()->mutable_linear()->set_inflection(1.5);
  grpc::ClientContext context;
  context.AddMetadata("x-request-id", "id-7");

  const Reply reply = Embed(*server.stub, request, context);

  EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(reply.status.error_message(), "merge.linear.inflection: 1.5 is outside [-1, 1]");
  const auto bad_request = DetailOf<google::rpc::BadRequest>(reply.status);
  ASSERT_THAT(bad_request.field_violations(), SizeIs(1));
  EXPECT_EQ(bad_request.field_violations(0).field(), "merge.linear.inflection");
  EXPECT_EQ(DetailOf<google::rpc::RequestInfo>(reply.status).request_id(), "id-7");
  EXPECT_EQ(ValueOf(reply.initial_metadata, "x-request-id"), "id-7");
  EXPECT_EQ(Finished(server, "Embed", "INVALID_ARGUMENT"), 1);
  ExpectEveryCallCountedOnce(server, 1);
}

TEST(EmbeddingRpcTest, NamesTheFieldOfAnImageThatCannotBeDecoded) {
  LoopbackServer server;
  server.Serve();
  v1::EmbedRequest request;
  request.mutable_input()->set_encoded("not an image");

  const Reply reply = Embed(*server.stub, request);

  EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  const auto bad_request = DetailOf<google::rpc::BadRequest>(reply.status);
  ASSERT_THAT(bad_request.field_violations(), SizeIs(1));
  EXPECT_EQ(bad_request.field_violations(0).field(), "input.encoded");
}

TEST(EmbeddingRpcTest, RefusesAnUnknownModelAndOtherWeights) {
  LoopbackServer server;
  server.Serve();
  v1::EmbedRequest unknown = SmallRequest();
  unknown.set_model("large");
  v1::EmbedRequest others = SmallRequest();
  others.set_if_weights_digest("fedcba9876543210");

  const Reply not_found = Embed(*server.stub, unknown);
  const Reply other_weights = Embed(*server.stub, others);

  EXPECT_EQ(not_found.status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(not_found.status.error_message(), HasSubstr("small"));
  EXPECT_EQ(other_weights.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Finished(server, "Embed", "NOT_FOUND"), 1);
  EXPECT_EQ(Finished(server, "Embed", "FAILED_PRECONDITION"), 1);
}

TEST(EmbeddingRpcTest, IsUnavailableBeforeItServes) {
  LoopbackServer server;

  const Reply embed = Embed(*server.stub, SmallRequest());
  grpc::ClientContext context;
  v1::ListModelsResponse models;
  const grpc::Status list = server.stub->ListModels(&context, {}, &models);

  EXPECT_EQ(embed.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(embed.status.error_message(), HasSubstr("starting"));
  EXPECT_EQ(list.error_code(), grpc::StatusCode::UNAVAILABLE);
  ExpectEveryCallCountedOnce(server, 2);
}

TEST(EmbeddingRpcTest, AFullServerSaysWhenToRetry) {
  LoopbackServer server({.max_admitted_images = 1});
  Gate gate;
  server.engine.OnRun([&gate] { gate.Await(); });
  server.Serve();
  PendingEmbed admitted(server, 'a');
  server.engine.AwaitBatches(1);

  const Reply refused = Embed(*server.stub, SmallRequest('b'));
  gate.Open();

  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  const std::string pushback = ValueOf(refused.trailing_metadata, kPushback);
  ASSERT_THAT(pushback, Not(IsEmpty()));
  const auto retry = DetailOf<google::rpc::RetryInfo>(refused.status).retry_delay();
  const double hint_ms = retry.seconds() * 1e3 + retry.nanos() * 1e-6;
  EXPECT_GT(hint_ms, 0.0);
  EXPECT_NEAR(std::stod(pushback), hint_ms, 1.0);
  EXPECT_TRUE(admitted.Await().status.ok());
}

TEST(EmbeddingRpcTest, AMessageOverTheLimitIsRefusedWithoutARetryHint) {
  LoopbackServer server({.max_message_bytes = 1024});
  server.Serve();
  v1::EmbedRequest request;
  request.mutable_input()->set_encoded(std::string(2048, 'x'));

  const Reply reply = Embed(*server.stub, request);

  EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(reply.trailing_metadata.count(kPushback), 0u);
  EXPECT_TRUE(Embed(*server.stub, SmallRequest()).status.ok());
}

TEST(EmbeddingRpcTest, AnInternalErrorTellsOnlyTheRequestId) {
  LoopbackServer server;
  server.engine.FailWith(absl::InternalError("tensor at 0x7fff1234"));
  server.Serve();
  grpc::ClientContext context;
  context.AddMetadata("x-request-id", "id-8");

  testing::internal::CaptureStderr();
  const Reply reply = Embed(*server.stub, SmallRequest(), context);
  const std::string log = testing::internal::GetCapturedStderr();

  EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(reply.status.error_message(), "internal error, request id id-8");
  EXPECT_THAT(reply.status.error_details(), Not(HasSubstr("tensor")));
  EXPECT_THAT(log, AllOf(HasSubstr("request_id=id-8"), HasSubstr("tensor at 0x7fff1234")));
}

TEST(EmbeddingRpcTest, TheCallsDeadlineBoundsItsTimeInTheQueue) {
  LoopbackServer server;
  Gate gate;
  server.Serve();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(2));
  // Only once the batch before it is over is the second call looked at again: then it is late.
  server.engine.OnRun([&] {
    gate.Await();
    server.clock.Advance(absl::Minutes(3));
  });
  PendingEmbed first(server, 'a');
  server.engine.AwaitBatches(1);
  std::thread opener([&] {
    // Its image is in the queue.
    while (MetricValue(server.metrics, "queue_images") < 1) std::this_thread::yield();
    gate.Open();
  });

  const Reply second = Embed(*server.stub, SmallRequest('b'), context);
  opener.join();

  EXPECT_EQ(second.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  // From the server, not from the client's own timer.
  EXPECT_EQ(DetailOf<google::rpc::RequestInfo>(second.status).request_id(),
            ValueOf(second.initial_metadata, "x-request-id"));
  EXPECT_TRUE(first.Await().status.ok());
  EXPECT_EQ(Finished(server, "Embed", "DEADLINE_EXCEEDED"), 1);
}

TEST(EmbeddingRpcTest, ACancelledCallIsCountedAsCancelledOnce) {
  LoopbackServer server;
  server.Serve();
  int calls = 0;

  // A cancellation travels: it may come when the answer is already on its way. The round trip of
  // ListModels behind it makes that rare, so that one of these attempts is in time.
  while (Finished(server, "Embed", "CANCELLED") == 0 && calls < 100) {
    Gate gate;
    server.engine.OnRun([&gate] { gate.Await(); });
    ++calls;
    PendingEmbed cancelled(server, 'a');
    server.engine.AwaitBatches(calls);
    cancelled.Cancel();
    EXPECT_EQ(cancelled.Await().status.error_code(), grpc::StatusCode::CANCELLED);
    grpc::ClientContext context;
    v1::ListModelsResponse models;
    EXPECT_TRUE(server.stub->ListModels(&context, {}, &models).ok());
    gate.Open();
    server.service.WaitUntilIdle(absl::InfiniteFuture());
  }

  EXPECT_EQ(Finished(server, "Embed", "CANCELLED"), 1);
  ExpectEveryCallCountedOnce(server, 2 * calls);
}

TEST(EmbeddingRpcTest, TheServerOutlivesManyCancelledCalls) {
  LoopbackServer server({.max_admitted_images = 64, .max_batch_images = 8});
  server.Serve();
  constexpr int kThreads = 8;
  constexpr int kCallsEach = 40;
  std::vector<std::thread> clients;
  for (int t = 0; t < kThreads; ++t) {
    clients.emplace_back([&server, t] {
      for (int i = 0; i < kCallsEach; ++i) {
        grpc::ClientContext context;
        // Cancelled before, while and after it is answered.
        std::thread canceller([&context, i] {
          for (int turn = 0; turn < i * 20; ++turn) std::this_thread::yield();
          context.TryCancel();
        });
        const Reply reply = Embed(*server.stub, SmallRequest(static_cast<char>('a' + t)), context);
        EXPECT_TRUE(reply.status.ok() || reply.status.error_code() == grpc::StatusCode::CANCELLED)
            << reply.status.error_message();
        canceller.join();
      }
    });
  }
  for (std::thread& client : clients) client.join();

  EXPECT_TRUE(Embed(*server.stub, SmallRequest()).status.ok());
  server.server->Shutdown(absl::Seconds(30));
  EXPECT_EQ(MetricValue(server.metrics, "requests_started_total"),
            MetricValue(server.metrics, "requests_total"));
}

TEST(EmbeddingRpcTest, TellsModelsAndLimits) {
  LoopbackServer server({.max_message_bytes = 4096});
  server.Serve();

  grpc::ClientContext list_context;
  v1::ListModelsResponse list;
  const grpc::Status listed = server.stub->ListModels(&list_context, {}, &list);
  grpc::ClientContext get_context;
  v1::GetModelResponse model;
  const grpc::Status got = server.stub->GetModel(&get_context, {}, &model);
  grpc::ClientContext unknown_context;
  v1::GetModelRequest unknown;
  unknown.set_name("large");
  v1::GetModelResponse none;
  const grpc::Status not_found = server.stub->GetModel(&unknown_context, unknown, &none);

  ASSERT_TRUE(listed.ok()) << listed.error_message();
  ASSERT_THAT(list.models(), SizeIs(1));
  EXPECT_EQ(list.models(0).name(), "small");
  EXPECT_EQ(list.models(0).architecture(), "fake_small_patch2_8");
  ASSERT_TRUE(got.ok()) << got.error_message();
  EXPECT_EQ(model.model().name(), "small");
  EXPECT_EQ(model.limits().message_bytes(), 4096u);
  EXPECT_EQ(not_found.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(EmbeddingRpcTest, ACallAcceptedBeforeTheDrainEndsOk) {
  LoopbackServer server;
  Gate gate;
  server.engine.OnRun([&gate] { gate.Await(); });
  server.Serve();
  PendingEmbed accepted(server, 'a');
  server.engine.AwaitBatches(1);

  server.service.Drain();
  const Reply late = Embed(*server.stub, SmallRequest('b'));
  std::thread shutdown([&server] { server.server->Shutdown(absl::Minutes(2)); });
  gate.Open();
  const Reply reply = accepted.Await();
  shutdown.join();

  EXPECT_EQ(late.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(late.status.error_message(), HasSubstr("draining"));
  EXPECT_TRUE(reply.status.ok()) << reply.status.error_message();
  ExpectEveryCallCountedOnce(server, 2);
}

TEST(EmbeddingRpcTest, ACallThatOutlastsTheGraceIsCancelled) {
  LoopbackServer server;
  Gate gate;
  server.engine.OnRun([&gate] { gate.Await(); });
  server.Serve();
  PendingEmbed accepted(server, 'a');
  server.engine.AwaitBatches(1);

  std::thread shutdown([&server] { server.server->Shutdown(absl::ZeroDuration()); });
  const Reply reply = accepted.Await();
  gate.Open();
  shutdown.join();

  EXPECT_FALSE(reply.status.ok());
  ExpectEveryCallCountedOnce(server, 1);
}

}  // namespace
}  // namespace tome
