#include "client/client.h"

#include <gmock/gmock.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "client/status.h"
#include "tests/client/fake_server.h"

namespace tome::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using tome::v1::EmbedRequest;
using Reply = FakeServer::Reply;

constexpr char kFarAway[] = "60000";  // ms, longer than any test may take

FakeServer::Script Always(const Reply& reply) {
  return [reply](const EmbedRequest&, int) { return reply; };
}

// `failures` times `failure`, then an embedding.
FakeServer::Script FailsThenAnswers(int failures, const Reply& failure) {
  return [failures, failure](const EmbedRequest&, int call) {
    return call < failures ? failure : FakeServer::Answer({1.0f, 0.0f});
  };
}

std::unique_ptr<Client> Connect(const std::string& address) {
  ClientOptions options;
  options.server = address;
  // Seven retries in an eighth of a second: a connection that is slow to come up is outlasted.
  options.retry.initial_backoff = absl::Milliseconds(1);
  options.retry.max_backoff = absl::Milliseconds(64);
  return std::move(Client::Create(options)).value();
}

absl::StatusOr<Embedding> EmbedWithin(Client& client, absl::Duration timeout) {
  EmbedOptions options;
  options.timeout = timeout;
  return client.Embed(EncodedImage{"picture"}, options);
}

std::string Metadata(const FakeServer::Call& call, const std::string& key) {
  const auto found = call.metadata.find(key);
  return found == call.metadata.end() ? "" : found->second;
}

TEST(ClientTest, SendsWhatTheCallerAsksFor) {
  FakeServer server(Always(FakeServer::Answer({1.0f, 0.0f})));
  const std::unique_ptr<Client> client = Connect(server.address());
  EmbedOptions options;
  options.model = "vit";
  options.schedule = LinearSchedule{16, -1.0};
  options.output = {.element_type = ElementType::kInt8,
                    .normalize = false,
                    .dimensions = 2,
                    .merge_map = true,
                    .tokens = true};
  options.if_weights_digest = "d1";
  options.request_id = "mine";

  const absl::StatusOr<Embedding> embedding = client->Embed(EncodedImage{"picture"}, options);

  ASSERT_TRUE(embedding.ok()) << embedding.status();
  EXPECT_EQ(embedding->request_id, "mine");
  const FakeServer::Call call = server.calls().at(0);
  EXPECT_EQ(Metadata(call, "x-request-id"), "mine");
  EXPECT_EQ(call.request.model(), "vit");
  EXPECT_EQ(call.request.if_weights_digest(), "d1");
  EXPECT_EQ(call.request.input().encoded(), "picture");
  EXPECT_EQ(call.request.merge().linear().mean_r(), 16u);
  EXPECT_EQ(call.request.merge().linear().inflection(), -1.0);
  EXPECT_EQ(call.request.output().element_type(), tome::v1::ELEMENT_TYPE_INT8);
  EXPECT_EQ(call.request.output().normalization(), tome::v1::NORMALIZATION_NONE);
  EXPECT_EQ(call.request.output().dimensions(), 2u);
  EXPECT_TRUE(call.request.output().merge_map());
  EXPECT_TRUE(call.request.output().tokens());
}

TEST(ClientTest, NamesNoScheduleWhereTheCallerNamesNone) {
  FakeServer server(Always(FakeServer::Answer({1.0f})));

  const absl::Status status = Connect(server.address())->Embed(EncodedImage{"picture"}).status();
  EXPECT_TRUE(status.ok()) << status;

  EXPECT_FALSE(server.calls().at(0).request.has_merge());
}

TEST(ClientTest, SendsEachKindOfInputAndSchedule) {
  FakeServer server(Always(FakeServer::Answer({1.0f})));
  const std::unique_ptr<Client> client = Connect(server.address());
  EmbedOptions constant;
  constant.schedule = ConstantSchedule{0};
  EmbedOptions per_block;
  per_block.schedule = PerBlockSchedule{{4, 0, 7}};

  EXPECT_TRUE(client->Embed(RgbImage{1, 2, "rgbrgb"}, constant).ok());
  EXPECT_TRUE(client->Embed(ModelPixels{2, 1, "RGBRGB"}, per_block).ok());

  const EmbedRequest rgb = server.calls().at(0).request;
  EXPECT_EQ(rgb.input().rgb().height(), 1u);
  EXPECT_EQ(rgb.input().rgb().width(), 2u);
  EXPECT_EQ(rgb.input().rgb().data(), "rgbrgb");
  EXPECT_EQ(rgb.merge().kind_case(), tome::v1::MergeSpec::kConstant);
  const EmbedRequest pixels = server.calls().at(1).request;
  EXPECT_EQ(pixels.input().model_pixels().data(), "RGBRGB");
  EXPECT_THAT(pixels.merge().per_block().r(), ElementsAre(4, 0, 7));
}

TEST(ClientTest, ReturnsWhatWasAppliedAndWhereTheTimeWent) {
  Reply reply = FakeServer::Answer({0.6f, 0.8f});
  tome::v1::Embedding& from = *reply.response.mutable_embedding();
  for (const int merged : {8, 8, 3}) from.mutable_applied()->add_merged_per_block(merged);
  from.mutable_applied()->set_tokens_in(197);
  from.mutable_applied()->set_tokens_out(178);
  from.mutable_applied()->set_gflops(3.5);
  from.mutable_timing()->mutable_compute()->set_nanos(2'500'000);
  from.mutable_merge_map()->set_grid_height(1);
  from.mutable_merge_map()->add_group_of_patch(1);
  from.mutable_tokens()->set_count(1);
  from.mutable_tokens()->set_dimensions(2);
  from.mutable_tokens()->set_data(from.vector().data());
  FakeServer server(Always(reply));

  const absl::StatusOr<Embedding> embedding =
      Connect(server.address())->Embed(EncodedImage{"picture"});

  ASSERT_TRUE(embedding.ok()) << embedding.status();
  EXPECT_THAT(embedding->vector, ElementsAre(0.6f, 0.8f));
  EXPECT_EQ(embedding->model, "vit");
  EXPECT_EQ(embedding->weights_digest, "d1");
  EXPECT_THAT(embedding->merged_per_block, ElementsAre(8, 8, 3));
  EXPECT_EQ(embedding->tokens_in, 197);
  EXPECT_EQ(embedding->tokens_out, 178);
  EXPECT_EQ(embedding->gflops, 3.5);
  EXPECT_EQ(embedding->timing.compute, absl::Microseconds(2500));
  EXPECT_EQ(embedding->timing.decode, std::nullopt);
  ASSERT_TRUE(embedding->merge_map.has_value());
  EXPECT_THAT(embedding->merge_map->group_of_patch, ElementsAre(1));
  ASSERT_TRUE(embedding->tokens.has_value());
  EXPECT_THAT(embedding->tokens->values, ElementsAre(0.6f, 0.8f));
}

TEST(ClientTest, TakesAnAnswerOfManyMegabytes) {
  Reply reply = FakeServer::Answer({1.0f});
  reply.response.mutable_embedding()->mutable_tokens()->set_count(2'000'000);
  reply.response.mutable_embedding()->mutable_tokens()->set_dimensions(1);
  reply.response.mutable_embedding()->mutable_tokens()->set_data(std::string(8'000'000, '\0'));
  FakeServer server(Always(reply));

  const absl::StatusOr<Embedding> embedding =
      Connect(server.address())->Embed(EncodedImage{"picture"});

  ASSERT_TRUE(embedding.ok()) << embedding.status();
  EXPECT_EQ(embedding->tokens->values.size(), 2'000'000u);
}

TEST(ClientTest, RefusesAVectorThatDoesNotFitItsDescription) {
  Reply reply = FakeServer::Answer({1.0f, 0.0f});
  reply.response.mutable_embedding()->mutable_vector()->set_dimensions(3);
  FakeServer server(Always(reply));

  const absl::Status status = Connect(server.address())->Embed(EncodedImage{"picture"}).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("8 bytes for 3 elements"));
  EXPECT_NE(RequestIdOf(status), "");
}

TEST(ClientTest, AnErrorCarriesTheFieldAndTheIdOfItsRequest) {
  google::rpc::BadRequest bad_request;
  bad_request.add_field_violations()->set_field("merge.linear.inflection");
  google::rpc::Status details;
  details.add_details()->PackFrom(bad_request);
  Reply reply;
  reply.status = grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "1.5 is outside [-1, 1]",
                              details.SerializeAsString());
  FakeServer server(Always(reply));

  const absl::Status status = Connect(server.address())->Embed(EncodedImage{"picture"}).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "1.5 is outside [-1, 1]");
  EXPECT_EQ(FieldOf(status), "merge.linear.inflection");
  EXPECT_EQ(RequestIdOf(status), Metadata(server.calls().at(0), "x-request-id"));
  EXPECT_EQ(RequestIdOf(status).size(), 32u);
  EXPECT_EQ(server.calls().size(), 1u);
}

TEST(ClientTest, ComesBackAfterTheTimeThatAFullServerNames) {
  FakeServer server(FailsThenAnswers(2, FakeServer::Full("50")));

  const absl::StatusOr<Embedding> embedding =
      Connect(server.address())->Embed(EncodedImage{"picture"});

  ASSERT_TRUE(embedding.ok()) << embedding.status();
  EXPECT_EQ(embedding->retries, 2);
  const std::vector<FakeServer::Call> calls = server.calls();
  ASSERT_EQ(calls.size(), 3u);
  EXPECT_GE(calls[1].arrived - calls[0].arrived, std::chrono::milliseconds(50));
  EXPECT_GE(calls[2].arrived - calls[1].arrived, std::chrono::milliseconds(50));
  EXPECT_EQ(Metadata(calls[0], "x-request-id"), Metadata(calls[2], "x-request-id"));
}

TEST(ClientTest, DoesNotRetryAnExhaustedResourceWithoutAHint) {
  FakeServer server(
      Always(FakeServer::Error(grpc::StatusCode::RESOURCE_EXHAUSTED, "message too large")));

  const absl::Status status = Connect(server.address())->Embed(EncodedImage{"picture"}).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "message too large");
  EXPECT_EQ(server.calls().size(), 1u);
}

TEST(ClientTest, RetriesAnUnavailableServer) {
  FakeServer server(
      FailsThenAnswers(3, FakeServer::Error(grpc::StatusCode::UNAVAILABLE, "draining")));

  const absl::StatusOr<Embedding> embedding =
      Connect(server.address())->Embed(EncodedImage{"picture"});

  ASSERT_TRUE(embedding.ok()) << embedding.status();
  EXPECT_EQ(embedding->retries, 3);
  EXPECT_EQ(server.calls().size(), 4u);
}

TEST(ClientTest, GivesUpAfterTheLargestNumberOfRetriesAndSaysSo) {
  FakeServer server(Always(FakeServer::Error(grpc::StatusCode::UNAVAILABLE, "starting")));
  EmbedOptions options;
  options.retry =
      RetryPolicy{.max_unavailable_retries = 2, .initial_backoff = absl::Milliseconds(1)};

  const absl::Status status =
      Connect(server.address())->Embed(EncodedImage{"picture"}, options).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "starting (after 2 retries)");
  EXPECT_EQ(server.calls().size(), 3u);
}

TEST(ClientTest, ReportsTheRefusalInsteadOfWaitingBeyondTheDeadline) {
  FakeServer server(Always(FakeServer::Full(kFarAway)));
  const std::unique_ptr<Client> client = Connect(server.address());

  const absl::Status status = EmbedWithin(*client, absl::Seconds(30)).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(server.calls().size(), 1u);
}

TEST(ClientTest, EndsACallThatIsNotAnsweredInTime) {
  FakeServer server(Always(FakeServer::Never()));
  const std::unique_ptr<Client> client = Connect(server.address());

  const absl::Status status = EmbedWithin(*client, absl::Milliseconds(200)).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(status.message(), "no answer within 200ms");
}

TEST(ClientTest, RetriesKeepTheFirstAttemptsDeadline) {
  FakeServer server(FailsThenAnswers(1, FakeServer::Full("1000")));
  const std::unique_ptr<Client> client = Connect(server.address());

  const absl::Status status = EmbedWithin(*client, absl::Seconds(9)).status();
  ASSERT_TRUE(status.ok()) << status;

  // With a deadline of its own it would have 9 seconds again. gRPC rounds up, by less than this.
  const auto left = server.calls().at(1).time_left;
  EXPECT_LE(left, std::chrono::milliseconds(8100))
      << std::chrono::duration_cast<std::chrono::milliseconds>(left).count() << " ms";
}

TEST(ClientTest, SaysUnavailableWhereNobodyListens) {
  std::string address;
  {
    FakeServer gone(Always(FakeServer::Answer({1.0f})));
    address = gone.address();
  }

  const absl::Status status = Connect(address)->Embed(EncodedImage{"picture"}).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
}

TEST(ClientTest, SpreadsCallsOverTheServersAndLeavesOutOneThatIsNotServing) {
  FakeServer first(Always(FakeServer::Answer({1.0f})));
  FakeServer second(Always(FakeServer::Answer({1.0f})));
  FakeServer draining(Always(FakeServer::Answer({1.0f})));
  draining.SetServing(false);
  const std::unique_ptr<Client> client =
      Connect("ipv4:" + first.address() + "," + second.address() + "," + draining.address());

  // The client calls as soon as one of the servers is known to be healthy.
  while (first.calls().empty() || second.calls().empty()) {
    const absl::Status status = client->Embed(EncodedImage{"picture"}).status();
    ASSERT_TRUE(status.ok()) << status;
  }

  EXPECT_EQ(draining.calls().size(), 0u);
}

TEST(ClientTest, KnowsWhetherAServerIsServing) {
  FakeServer server(Always(FakeServer::Answer({1.0f})));
  const std::unique_ptr<Client> client = Connect(server.address());

  EXPECT_EQ(client->Health().value(), HealthStatus::kServing);
  server.SetServing(false);
  EXPECT_EQ(client->Health().value(), HealthStatus::kNotServing);
  EXPECT_EQ(client->Health("").value(), HealthStatus::kServing);
  EXPECT_EQ(client->Health("other.Service").value(), HealthStatus::kServiceUnknown);
}

TEST(ClientTest, TellsTheModelsAndTheirLimits) {
  FakeServer server(Always(FakeServer::Answer({1.0f})));
  const std::unique_ptr<Client> client = Connect(server.address());

  const auto models = client->ListModels();
  const auto model = client->GetModel("vit");

  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_EQ(models->size(), 1u);
  EXPECT_EQ(models->front().name, "vit");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->model.embedding_dimensions, 2);
  ASSERT_TRUE(model->model.default_schedule.has_value());
  EXPECT_EQ(std::get<LinearSchedule>(*model->model.default_schedule).mean_r, 8u);
  EXPECT_EQ(model->limits.encoded_bytes, 1000u);
  EXPECT_EQ(model->limits.default_timeout, absl::Seconds(30));
  EXPECT_EQ(client->GetModel("other").status().code(), absl::StatusCode::kNotFound);
}

TEST(ClientTest, GivesEveryCallAnIdOfItsOwn) {
  FakeServer server(Always(FakeServer::Answer({1.0f})));
  const std::unique_ptr<Client> client = Connect(server.address());

  std::set<std::string> ids;
  for (int i = 0; i < 10; ++i)
    ids.insert(client->Embed(EncodedImage{"picture"}).value().request_id);

  EXPECT_EQ(ids.size(), 10u);
}

TEST(ClientTest, RunsManyCallsAtOnce) {
  constexpr int kCalls = 50;
  Reply together = FakeServer::Answer({1.0f});
  together.after_calls = kCalls;
  FakeServer server(Always(together));
  const std::unique_ptr<Client> client = Connect(server.address());
  std::vector<std::promise<absl::Status>> ended(kCalls);

  for (int i = 0; i < kCalls; ++i) {
    client->EmbedAsync(EncodedImage{"picture"}, {}, [&ended, i](absl::StatusOr<Embedding> result) {
      ended[i].set_value(result.status());
    });
  }

  for (int i = 0; i < kCalls; ++i) {
    const absl::Status status = ended[i].get_future().get();
    EXPECT_TRUE(status.ok()) << i << ": " << status;
  }
  EXPECT_EQ(server.most_in_flight(), kCalls);
}

TEST(ClientTest, ShutdownEndsCallsUnderWayAndThoseThatWaitForARetry) {
  FakeServer server([](const EmbedRequest& request, int) {
    return request.input().encoded() == "hangs" ? FakeServer::Never() : FakeServer::Full(kFarAway);
  });
  const std::unique_ptr<Client> client = Connect(server.address());
  EmbedOptions options;
  options.timeout = absl::Hours(1);
  std::promise<absl::Status> hangs;
  std::promise<absl::Status> waits;
  client->EmbedAsync(EncodedImage{"hangs"}, options,
                     [&](absl::StatusOr<Embedding> result) { hangs.set_value(result.status()); });
  client->EmbedAsync(EncodedImage{"waits"}, options,
                     [&](absl::StatusOr<Embedding> result) { waits.set_value(result.status()); });
  server.AwaitCalls(2);

  client->Shutdown();

  EXPECT_EQ(hangs.get_future().get().code(), absl::StatusCode::kCancelled);
  // The refusal may still be on its way; it is final then.
  EXPECT_THAT(waits.get_future().get().code(),
              ::testing::AnyOf(absl::StatusCode::kCancelled, absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(client->Embed(EncodedImage{"late"}).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(server.calls().size(), 2u);
}

TEST(ClientTest, DestructionWaitsForEveryCallback) {
  FakeServer server(Always(FakeServer::Never()));
  std::atomic<int> ended = 0;
  {
    const std::unique_ptr<Client> client = Connect(server.address());
    for (int i = 0; i < 8; ++i) {
      client->EmbedAsync(EncodedImage{"picture"}, {}, [&](absl::StatusOr<Embedding>) { ++ended; });
    }
    server.AwaitCalls(8);
  }

  EXPECT_EQ(ended, 8);
}

TEST(ClientTest, RefusesAnEmptyServerAndATlsFileThatIsNotThere) {
  EXPECT_EQ(Client::Create({}).status().code(), absl::StatusCode::kInvalidArgument);

  ClientOptions options;
  options.server = "127.0.0.1:1";
  options.tls = TlsFiles{"missing.pem", "", ""};
  const absl::Status status = Client::Create(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("missing.pem"));

  options.tls = TlsFiles{"", "certificate.pem", ""};
  EXPECT_EQ(Client::Create(options).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tome::client
