#include "client/embed_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/client/fake_server.h"

namespace tome::client {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;
using tome::v1::EmbedRequest;
using Reply = FakeServer::Reply;

std::unique_ptr<Client> Connect(const FakeServer& server) {
  ClientOptions options;
  options.server = server.address();
  options.retry.initial_backoff = absl::Milliseconds(1);
  return std::move(Client::Create(options)).value();
}

// What became of each picture, and in which order. Thread-safe.
class Outcomes {
 public:
  void Embed(EmbedStream& stream, const std::string& picture,
             std::optional<Schedule> schedule = std::nullopt) {
    stream.Embed(EncodedImage{picture}, std::move(schedule),
                 [this, picture](absl::StatusOr<Embedding> outcome) {
                   std::lock_guard lock(mu_);
                   order_.push_back(picture);
                   EXPECT_TRUE(outcomes_.emplace(picture, std::move(outcome)).second)
                       << picture << " is answered twice";
                   changed_.notify_all();
                 });
  }

  // Waits for it.
  absl::StatusOr<Embedding> Of(const std::string& picture) {
    std::unique_lock lock(mu_);
    changed_.wait(lock, [&] { return outcomes_.count(picture) > 0; });
    return outcomes_.at(picture);
  }
  absl::StatusCode CodeOf(const std::string& picture) { return Of(picture).status().code(); }

  std::vector<std::string> order() {
    std::lock_guard lock(mu_);
    return order_;
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  std::vector<std::string> order_;
  std::map<std::string, absl::StatusOr<Embedding>> outcomes_;
};

TEST(EmbedStreamTest, CallsBackAsAnswersComeWhateverTheOrderOfTheImages) {
  // The first is answered when the third has come.
  FakeServer server([](const EmbedRequest& request, int) {
    Reply reply = FakeServer::Answer({1.0f});
    if (request.input().encoded() == "first") reply.after_calls = 3;
    return reply;
  });
  const auto client = Connect(server);
  const auto stream = client->OpenStream();
  Outcomes outcomes;

  outcomes.Embed(*stream, "first");
  outcomes.Embed(*stream, "second");
  EXPECT_TRUE(outcomes.Of("second").ok());
  outcomes.Embed(*stream, "third");
  stream->Finish();

  EXPECT_EQ(outcomes.order().front(), "second");
  EXPECT_TRUE(outcomes.Of("first").ok());
  EXPECT_TRUE(outcomes.Of("third").ok());
  EXPECT_EQ(server.streams(), 1);
}

TEST(EmbedStreamTest, SendsWhatTheOptionsSayAndAnImagesOwnSchedule) {
  FakeServer server([](const EmbedRequest&, int) { return FakeServer::Answer({1.0f}); });
  const auto client = Connect(server);
  StreamOptions options;
  options.model = "vit";
  options.schedule = ConstantSchedule{4};
  options.output.dimensions = 1;
  options.output.pooling = Pooling::kMean;
  options.timeout = absl::Seconds(20);
  const auto stream = client->OpenStream(options);
  Outcomes outcomes;

  outcomes.Embed(*stream, "as the options say");
  ASSERT_TRUE(outcomes.Of("as the options say").ok());
  outcomes.Embed(*stream, "its own", ConstantSchedule{8});
  ASSERT_TRUE(outcomes.Of("its own").ok());

  const auto calls = server.calls();
  EXPECT_EQ(calls.at(0).request.model(), "vit");
  EXPECT_EQ(calls.at(0).request.merge().constant(), 4u);
  EXPECT_EQ(calls.at(0).request.output().dimensions(), 1u);
  EXPECT_EQ(calls.at(0).request.output().pooling(), tome::v1::POOLING_MEAN);
  EXPECT_EQ(calls.at(1).request.merge().constant(), 8u);
  EXPECT_GT(calls.at(0).time_left, std::chrono::seconds(0));
  EXPECT_LE(calls.at(0).time_left, std::chrono::seconds(20));
}

TEST(EmbedStreamTest, ABadImageFailsAlone) {
  FakeServer server([](const EmbedRequest& request, int) {
    return request.input().encoded() == "bad"
               ? FakeServer::Error(grpc::StatusCode::INVALID_ARGUMENT, "no picture")
               : FakeServer::Answer({1.0f});
  });
  const auto client = Connect(server);
  const auto stream = client->OpenStream();
  Outcomes outcomes;

  outcomes.Embed(*stream, "bad");
  outcomes.Embed(*stream, "good");
  stream->Finish();

  EXPECT_EQ(outcomes.CodeOf("bad"), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(outcomes.Of("good").ok());
  EXPECT_EQ(server.streams(), 1);
}

TEST(EmbedStreamTest, AnImageLargerThanAMessageMayBeFailsAloneAndUnsent) {
  FakeServer server([](const EmbedRequest&, int) { return FakeServer::Answer({1.0f}); });
  const auto client = Connect(server);
  StreamOptions options;
  options.message_bytes = 1000;
  const auto stream = client->OpenStream(options);
  Outcomes outcomes;
  const std::string large(1000, 'x');

  outcomes.Embed(*stream, "small");
  outcomes.Embed(*stream, large);
  outcomes.Embed(*stream, "small, too");
  stream->Finish();

  EXPECT_EQ(outcomes.CodeOf(large), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(outcomes.Of("small").ok());
  EXPECT_TRUE(outcomes.Of("small, too").ok());
  EXPECT_EQ(server.calls().size(), 2u);
}

TEST(EmbedStreamTest, LeavesNoMoreImagesUnansweredThanItsWindow) {
  // The first ones are answered together.
  FakeServer server([](const EmbedRequest&, int call) {
    Reply reply = FakeServer::Answer({1.0f});
    if (call < 3) reply.after_calls = 3;
    return reply;
  });
  const auto client = Connect(server);
  StreamOptions options;
  options.window = 3;
  const auto stream = client->OpenStream(options);
  Outcomes outcomes;

  for (int i = 0; i < 20; ++i) outcomes.Embed(*stream, std::to_string(i));
  stream->Finish();

  EXPECT_EQ(outcomes.order().size(), 20u);
  EXPECT_EQ(server.most_in_flight(), 3);
}

TEST(EmbedStreamTest, SendsAgainWhatABrokenStreamLeftUnansweredAndNothingElse) {
  FakeServer server([](const EmbedRequest& request, int call) {
    if (request.input().encoded() != "answered" && call < 3) {
      return call == 1 ? FakeServer::Never()
                       : FakeServer::Error(grpc::StatusCode::UNAVAILABLE, "draining");
    }
    return FakeServer::Answer({1.0f});
  });
  const auto client = Connect(server);
  const auto stream = client->OpenStream();
  Outcomes outcomes;

  outcomes.Embed(*stream, "answered");
  ASSERT_TRUE(outcomes.Of("answered").ok());
  outcomes.Embed(*stream, "hangs");
  outcomes.Embed(*stream, "ends the stream");
  stream->Finish();

  ASSERT_TRUE(outcomes.Of("hangs").ok()) << outcomes.Of("hangs").status();
  EXPECT_EQ(outcomes.Of("hangs")->retries, 1);
  ASSERT_TRUE(outcomes.Of("ends the stream").ok());
  EXPECT_EQ(server.streams(), 2);
  EXPECT_EQ(server.calls().size(), 5u);
}

TEST(EmbedStreamTest, ComesBackOverAnotherCallWhenAnImageAloneIsUnavailable) {
  FakeServer server([](const EmbedRequest&, int call) {
    if (call > 0) return FakeServer::Answer({1.0f});
    Reply reply = FakeServer::Error(grpc::StatusCode::UNAVAILABLE, "draining");
    reply.of_image = true;
    return reply;
  });
  const auto client = Connect(server);
  const auto stream = client->OpenStream();
  Outcomes outcomes;

  outcomes.Embed(*stream, "picture");

  ASSERT_TRUE(outcomes.Of("picture").ok()) << outcomes.Of("picture").status();
  EXPECT_EQ(server.streams(), 2);
}

TEST(EmbedStreamTest, GivesUpOnAServerThatStaysUnavailable) {
  FakeServer server([](const EmbedRequest&, int) {
    return FakeServer::Error(grpc::StatusCode::UNAVAILABLE, "starting");
  });
  const auto client = Connect(server);
  StreamOptions options;
  options.retry =
      RetryPolicy{.max_unavailable_retries = 2, .initial_backoff = absl::Milliseconds(1)};
  const auto stream = client->OpenStream(options);
  Outcomes outcomes;

  outcomes.Embed(*stream, "picture");

  EXPECT_EQ(outcomes.CodeOf("picture"), absl::StatusCode::kUnavailable);
  EXPECT_EQ(outcomes.Of("picture").status().message(), "starting (after 2 retries)");
  EXPECT_EQ(server.streams(), 3);
}

TEST(EmbedStreamTest, AnErrorThatNoRetryMendsFailsWhatWasSentAndTheNextImageStartsAfresh) {
  FakeServer server([](const EmbedRequest&, int call) {
    return call == 0 ? FakeServer::Error(grpc::StatusCode::RESOURCE_EXHAUSTED, "message too large")
                     : FakeServer::Answer({1.0f});
  });
  const auto client = Connect(server);
  const auto stream = client->OpenStream();
  Outcomes outcomes;

  outcomes.Embed(*stream, "oversize");
  EXPECT_EQ(outcomes.CodeOf("oversize"), absl::StatusCode::kResourceExhausted);
  outcomes.Embed(*stream, "next");

  EXPECT_TRUE(outcomes.Of("next").ok());
  EXPECT_EQ(server.calls().size(), 2u);
}

TEST(EmbedStreamTest, AnImageThatIsNotAnsweredInTimeEndsAloneAndTheStreamGoesOn) {
  FakeServer server([](const EmbedRequest& request, int) {
    return request.input().encoded() == "hangs" ? FakeServer::Never() : FakeServer::Answer({1.0f});
  });
  const auto client = Connect(server);
  StreamOptions options;
  options.timeout = absl::Milliseconds(300);
  const auto stream = client->OpenStream(options);
  Outcomes outcomes;

  outcomes.Embed(*stream, "hangs");
  EXPECT_EQ(outcomes.CodeOf("hangs"), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(outcomes.Of("hangs").status().message()),
              StartsWith("no answer within 300ms"));
}

TEST(EmbedStreamTest, CancelEndsWhatIsUnansweredAndWhatComesLater) {
  FakeServer server([](const EmbedRequest&, int) { return FakeServer::Never(); });
  const auto client = Connect(server);
  const auto stream = client->OpenStream();
  Outcomes outcomes;
  outcomes.Embed(*stream, "hangs");
  server.AwaitCalls(1);

  stream->Cancel();
  outcomes.Embed(*stream, "late");

  EXPECT_EQ(outcomes.CodeOf("hangs"), absl::StatusCode::kCancelled);
  EXPECT_EQ(outcomes.CodeOf("late"), absl::StatusCode::kCancelled);
}

TEST(EmbedStreamTest, EndsWithItsClientsShutdown) {
  FakeServer server([](const EmbedRequest&, int) { return FakeServer::Never(); });
  const auto client = Connect(server);
  const auto stream = client->OpenStream();
  Outcomes outcomes;
  outcomes.Embed(*stream, "hangs");
  server.AwaitCalls(1);

  client->Shutdown();
  const auto opened_later = client->OpenStream();
  outcomes.Embed(*opened_later, "late");

  EXPECT_EQ(outcomes.CodeOf("hangs"), absl::StatusCode::kCancelled);
  EXPECT_EQ(outcomes.CodeOf("late"), absl::StatusCode::kCancelled);
}

TEST(EmbedStreamTest, DestructionWaitsForEveryCallback) {
  FakeServer server([](const EmbedRequest&, int) { return FakeServer::Never(); });
  const auto client = Connect(server);
  Outcomes outcomes;
  {
    const auto stream = client->OpenStream();
    for (int i = 0; i < 8; ++i) outcomes.Embed(*stream, std::to_string(i));
    server.AwaitCalls(8);
  }

  EXPECT_EQ(outcomes.order().size(), 8u);
}

TEST(EmbedStreamTest, MoreImagesMayFollowFinish) {
  FakeServer server([](const EmbedRequest&, int) { return FakeServer::Answer({1.0f}); });
  const auto client = Connect(server);
  const auto stream = client->OpenStream();
  Outcomes outcomes;

  outcomes.Embed(*stream, "first");
  stream->Finish();
  outcomes.Embed(*stream, "second");
  stream->Finish();

  EXPECT_THAT(outcomes.order(), ElementsAre("first", "second"));
  EXPECT_EQ(server.streams(), 2);
}

}  // namespace
}  // namespace tome::client
