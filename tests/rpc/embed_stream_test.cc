#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/rpc/loopback_server.h"
#include "tests/rpc/status_details.h"
#include "tests/testing/gate.h"
#include "tests/testing/metric_value.h"

// EmbedStream over a real connection.

namespace tome {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::EmbedStreamRequest Message(uint64_t id, char shade = 'x') {
  v1::EmbedStreamRequest message;
  message.set_id(id);
  *message.mutable_request() = SmallRequest(shade);
  return message;
}

// One call, written to and read from by the test's thread, or by one of its own each.
class Stream {
 public:
  explicit Stream(LoopbackServer& server, const std::string& request_id = "id")
      : Stream(*server.stub, request_id) {}
  explicit Stream(v1::EmbeddingService::Stub& stub, const std::string& request_id = "id")
      : stream_(Open(stub, request_id)) {}

  bool Write(const v1::EmbedStreamRequest& message) { return stream_->Write(message); }
  void WritesDone() { stream_->WritesDone(); }
  // The next answer; one without an id, and a failed test, if the stream has ended.
  v1::EmbedStreamResponse Read() {
    v1::EmbedStreamResponse response;
    EXPECT_TRUE(stream_->Read(&response)) << "the stream has ended";
    return response;
  }
  // All answers to the end of the stream, by id.
  std::multimap<uint64_t, v1::Result> ReadAll() {
    std::multimap<uint64_t, v1::Result> results;
    v1::EmbedStreamResponse response;
    while (stream_->Read(&response)) results.emplace(response.id(), response.result());
    return results;
  }
  grpc::Status Finish() { return stream_->Finish(); }
  grpc::ClientContext& context() { return context_; }

 private:
  using ReaderWriter = grpc::ClientReaderWriter<v1::EmbedStreamRequest, v1::EmbedStreamResponse>;

  std::unique_ptr<ReaderWriter> Open(v1::EmbeddingService::Stub& stub,
                                     const std::string& request_id) {
    context_.AddMetadata("x-request-id", request_id);
    return stub.EmbedStream(&context_);
  }

  grpc::ClientContext context_;
  const std::unique_ptr<ReaderWriter> stream_;
};

double Ended(const LoopbackServer& server, const std::string& code) {
  return MetricValue(server.metrics, "requests_total", {{"method", "EmbedStream"}, {"code", code}});
}

// Waits for what another thread is about to do.
template <typename Predicate>
void Await(Predicate predicate) {
  while (!predicate()) std::this_thread::yield();
}

TEST(EmbedStreamTest, AnswersEachImageAsEmbedWouldUnderItsId) {
  LoopbackServer server({.max_batch_images = 8});
  server.Serve();
  Stream stream(server);
  v1::EmbedStreamRequest merged = Message(7, 'b');
  merged.mutable_request()->mutable_merge()->set_constant(5);
  merged.mutable_request()->mutable_output()->set_element_type(v1::ELEMENT_TYPE_FLOAT16);

  stream.Write(Message(900'000'000'000, 'a'));
  stream.Write(merged);
  stream.WritesDone();
  const auto results = stream.ReadAll();

  EXPECT_TRUE(stream.Finish().ok());
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(
      results.find(900'000'000'000)->second.embedding().vector().SerializeAsString(),
      Embed(*server.stub, SmallRequest('a')).response.embedding().vector().SerializeAsString());
  EXPECT_EQ(
      results.find(7)->second.embedding().vector().SerializeAsString(),
      Embed(*server.stub, merged.request()).response.embedding().vector().SerializeAsString());
  EXPECT_EQ(Ended(server, "OK"), 1);
}

TEST(EmbedStreamTest, AnswersWhileTheCallerStillSends) {
  LoopbackServer server;
  server.Serve();
  Stream stream(server);

  for (uint64_t id = 0; id < 20; ++id) {
    stream.Write(Message(id));
    const v1::EmbedStreamResponse response = stream.Read();
    EXPECT_EQ(response.id(), id);
    EXPECT_EQ(response.model().name(), "small");
    EXPECT_EQ(response.model().weights_digest(), "0123456789abcdef");
  }
  stream.WritesDone();

  EXPECT_TRUE(stream.Finish().ok());
}

TEST(EmbedStreamTest, AnErrorIsItsImagesAloneAndNamesFieldAndRequest) {
  LoopbackServer server;
  server.Serve();
  Stream stream(server, "stream-1");

  v1::EmbedStreamRequest no_input = Message(1);
  no_input.mutable_request()->clear_input();
  v1::EmbedStreamRequest no_image = Message(2);
  no_image.mutable_request()->mutable_input()->set_encoded("GIF89a");
  v1::EmbedStreamRequest no_model = Message(3);
  no_model.mutable_request()->set_model("large");
  v1::EmbedStreamRequest no_time = Message(4);
  no_time.mutable_timeout()->set_nanos(-1);
  v1::EmbedStreamRequest late = Message(5);
  late.mutable_timeout();
  for (const auto& message : {no_input, no_image, no_model, no_time, late, Message(6)}) {
    stream.Write(message);
  }
  stream.WritesDone();
  const auto results = stream.ReadAll();

  EXPECT_TRUE(stream.Finish().ok());
  ASSERT_EQ(results.size(), 6u);
  const auto error = [&](uint64_t id) { return results.find(id)->second.error(); };
  EXPECT_THAT(error(1).message(), HasSubstr("request.input: missing"));
  EXPECT_THAT(error(2).message(), HasSubstr("request.input.encoded: "));
  EXPECT_EQ(error(3).code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(error(4).message(), HasSubstr("timeout: 0 s and -1 ns"));
  EXPECT_EQ(error(5).code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(results.find(6)->second.has_embedding());
  google::rpc::RequestInfo info;
  ASSERT_TRUE(error(1).details(0).UnpackTo(&info));
  EXPECT_EQ(info.request_id(), "stream-1");
}

TEST(EmbedStreamTest, AnImagesTimeoutRunsFromItsArrival) {
  LoopbackServer server;
  server.Serve();
  Gate gate;
  server.engine.OnRun([&] {
    gate.Await();
    server.clock.Advance(absl::Seconds(3));
  });
  Stream stream(server);
  stream.Write(Message(1));
  server.engine.AwaitBatches(1);
  v1::EmbedStreamRequest hasty = Message(2);
  hasty.mutable_timeout()->set_seconds(2);
  v1::EmbedStreamRequest patient = Message(3);
  patient.mutable_timeout()->set_seconds(4);
  stream.Write(hasty);
  stream.Write(patient);
  Await([&] { return MetricValue(server.metrics, "queue_images") == 2; });

  gate.Open();
  stream.WritesDone();
  const auto results = stream.ReadAll();

  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_EQ(results.find(2)->second.error().code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(results.find(1)->second.has_embedding());
  EXPECT_TRUE(results.find(3)->second.has_embedding());
}

TEST(EmbedStreamTest, AnIdInFlightIsRefusedForThatMessageAndFreeOnceAnswered) {
  LoopbackServer server;
  server.Serve();
  Gate gate;
  server.engine.OnRun([&gate] { gate.Await(); });
  Stream stream(server);
  stream.Write(Message(1, 'a'));
  server.engine.AwaitBatches(1);

  stream.Write(Message(1, 'b'));
  const v1::EmbedStreamResponse refused = stream.Read();
  gate.Open();
  const v1::EmbedStreamResponse first = stream.Read();
  stream.Write(Message(1, 'b'));
  const v1::EmbedStreamResponse second = stream.Read();
  stream.WritesDone();

  EXPECT_EQ(refused.id(), 1u);
  EXPECT_EQ(refused.result().error().code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(refused.result().error().message(), "id: 1 is still in flight");
  EXPECT_TRUE(first.result().has_embedding());
  EXPECT_TRUE(second.result().has_embedding());
  EXPECT_NE(first.result().embedding().vector().data(),
            second.result().embedding().vector().data());
  EXPECT_TRUE(stream.Finish().ok());
}

TEST(EmbedStreamTest, ReadsNoMoreThanItsWindow) {
  LoopbackServer server({.max_admitted_images = 16, .max_stream_images = 3});
  server.Serve();
  Gate gate;
  server.engine.OnRun([&gate] { gate.Await(); });
  Stream stream(server);
  std::thread writer([&stream] {
    for (uint64_t id = 0; id < 50; ++id) stream.Write(Message(id));
    stream.WritesDone();
  });
  Await([&] { return MetricValue(server.metrics, "inflight_images") == 3; });

  // A call behind the stream's images on the same connection is taken, so the stream's next ones
  // could have been as well.
  std::thread other([&server] { EXPECT_TRUE(Embed(*server.stub, SmallRequest()).status.ok()); });
  Await([&] { return MetricValue(server.metrics, "inflight_images") == 4; });
  gate.Open();
  const auto results = stream.ReadAll();
  writer.join();
  other.join();

  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_EQ(results.size(), 50u);
}

TEST(EmbedStreamTest, AFullServerSlowsStreamsDownAndRefusesThemNothing) {
  LoopbackServer server({.max_admitted_images = 4, .max_stream_images = 8});
  server.Serve();
  constexpr int kStreams = 6;
  constexpr int kImages = 100;
  std::vector<std::thread> clients;
  for (int i = 0; i < kStreams; ++i) {
    clients.emplace_back([&server] {
      Stream stream(server);
      std::thread writer([&stream] {
        for (uint64_t id = 0; id < kImages; ++id) stream.Write(Message(id));
        stream.WritesDone();
      });
      const auto results = stream.ReadAll();
      writer.join();
      EXPECT_TRUE(stream.Finish().ok());
      EXPECT_EQ(results.size(), static_cast<size_t>(kImages));
      for (const auto& [id, result] : results) {
        EXPECT_TRUE(result.has_embedding()) << id << ": " << result.error().message();
        EXPECT_EQ(results.count(id), 1u);
      }
    });
  }
  for (std::thread& client : clients) client.join();

  EXPECT_EQ(MetricValue(server.metrics, "dropped_images_total"), 0);
}

TEST(EmbedStreamTest, StreamsLeaveOtherCallsAPlace) {
  LoopbackServer server({.max_admitted_images = 4, .max_stream_images = 8});
  server.Serve();
  Gate gate;
  server.engine.OnRun([&gate] { gate.Await(); });
  Stream stream(server);
  for (uint64_t id = 0; id < 5; ++id) stream.Write(Message(id));
  stream.WritesDone();
  Await([&] { return MetricValue(server.metrics, "inflight_images") == 3; });

  std::thread other([&server] { EXPECT_TRUE(Embed(*server.stub, SmallRequest()).status.ok()); });
  Await([&] { return MetricValue(server.metrics, "inflight_images") == 4; });
  gate.Open();
  other.join();

  EXPECT_EQ(stream.ReadAll().size(), 5u);
  EXPECT_TRUE(stream.Finish().ok());
}

TEST(EmbedStreamTest, WhatWaitsForAPlaceIsBoundedInBytesOverAllStreams) {
  // Room for two waiting messages of the largest size.
  LoopbackServer server(
      {.max_admitted_images = 4, .max_message_bytes = 1000, .max_receive_bytes = 1});
  server.Serve();
  Gate gate;
  server.engine.OnRun([&gate] { gate.Await(); });
  Stream places(server);
  for (uint64_t id = 0; id < 3; ++id) places.Write(Message(id));
  Await([&] { return MetricValue(server.metrics, "inflight_images") == 3; });
  v1::EmbedStreamRequest large = Message(7);
  large.mutable_request()->mutable_input()->set_encoded(std::string(900, 'x'));

  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 0; i < 3; ++i) {
    streams.push_back(std::make_unique<Stream>(server));
    streams.back()->Write(large);
  }
  Await([&] { return MetricValue(server.metrics, "dropped_images_total") == 1; });
  gate.Open();

  std::multiset<int> codes;
  for (const auto& stream : streams) {
    codes.insert(stream->Read().result().error().code());
    // What was given back can be taken again.
    stream->Write(Message(8));
    EXPECT_TRUE(stream->Read().result().has_embedding());
    stream->WritesDone();
    EXPECT_TRUE(stream->Finish().ok());
  }
  EXPECT_THAT(codes,
              ElementsAre(grpc::StatusCode::INVALID_ARGUMENT, grpc::StatusCode::INVALID_ARGUMENT,
                          grpc::StatusCode::UNAVAILABLE));
  places.WritesDone();
  EXPECT_EQ(places.ReadAll().size(), 3u);
}

TEST(EmbedStreamTest, ACallerThatIsGoneCostsNoMoreCompute) {
  LoopbackServer server;
  server.Serve();
  Gate gate;
  server.engine.OnRun([&gate] { gate.Await(); });
  {
    Stream stream(server);
    for (uint64_t id = 0; id < 5; ++id) stream.Write(Message(id));
    Await([&] { return MetricValue(server.metrics, "queue_images") == 4; });
    stream.context().TryCancel();
    EXPECT_EQ(stream.Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  // A cancellation travels: the round trip behind it is over once the server has seen it.
  grpc::ClientContext context;
  v1::ListModelsResponse models;
  ASSERT_TRUE(server.stub->ListModels(&context, {}, &models).ok());

  gate.Open();
  server.server->Shutdown(absl::Seconds(30));

  EXPECT_EQ(Ended(server, "CANCELLED"), 1);
  EXPECT_EQ(MetricValue(server.metrics, "inflight_images"), 0);
  EXPECT_EQ(MetricValue(server.metrics, "images_total"), 5);
}

TEST(EmbedStreamTest, ADrainAnswersToTheLastImageReadThenEndsUnavailable) {
  LoopbackServer server;
  server.Serve();
  Gate gate;
  server.engine.OnRun([&gate] { gate.Await(); });
  Stream stream(server);
  for (uint64_t id = 0; id < 5; ++id) stream.Write(Message(id));
  Stream idle(server);
  Await([&] {
    return MetricValue(server.metrics, "inflight_images") == 5 &&
           MetricValue(server.metrics, "requests_started_total") == 2;
  });

  server.service.Drain();
  server.rpc.EndStreams();
  const grpc::Status idle_status = idle.Finish();
  gate.Open();
  const auto results = stream.ReadAll();
  const grpc::Status status = stream.Finish();

  EXPECT_EQ(idle_status.error_code(), grpc::StatusCode::UNAVAILABLE) << idle_status.error_message();
  ASSERT_EQ(results.size(), 5u);
  for (const auto& [id, result] : results) EXPECT_TRUE(result.has_embedding()) << id;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("draining"));
}

TEST(EmbedStreamTest, IsRefusedBeforeItServesAndWhileItDrains) {
  LoopbackServer server;

  Stream early(server);
  const grpc::Status starting = early.Finish();
  server.Serve();
  server.service.Drain();
  Stream late(server);
  const grpc::Status draining = late.Finish();

  EXPECT_EQ(starting.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(starting.error_message(), HasSubstr("starting"));
  EXPECT_EQ(draining.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(draining.error_message(), HasSubstr("draining"));
  EXPECT_EQ(Ended(server, "UNAVAILABLE"), 2);
}

TEST(EmbedStreamTest, AThousandConnectionsWithIdleStreamsLeaveRoomForWorkAndHoldNoDrain) {
  // Both ends of each connection are this process's.
  constexpr int kConnections = 1000;
  constexpr rlim_t kFiles = 2 * kConnections + 200;
  rlimit files;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = std::max(files.rlim_cur, kFiles);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0) << "the hard limit is " << files.rlim_max;
  LoopbackServer server;
  server.Serve();
  std::vector<std::unique_ptr<v1::EmbeddingService::Stub>> stubs;
  std::vector<std::unique_ptr<Stream>> idle;
  for (int i = 0; i < kConnections; ++i) {
    stubs.push_back(v1::EmbeddingService::NewStub(server.Connect()));
    idle.push_back(std::make_unique<Stream>(*stubs.back()));
  }
  Await([&] { return MetricValue(server.metrics, "requests_started_total") == kConnections; });

  EXPECT_TRUE(Embed(*server.stub, SmallRequest()).status.ok());
  for (int i = 0; i < kConnections; i += 100) {
    idle[i]->Write(Message(i));
    EXPECT_TRUE(idle[i]->Read().result().has_embedding());
  }
  server.service.Drain();
  server.rpc.EndStreams();

  for (auto& stream : idle) {
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  }
  EXPECT_EQ(Ended(server, "UNAVAILABLE"), kConnections);
}

TEST(EmbedStreamTest, TheServerOutlivesManyBrokenStreams) {
  LoopbackServer server({.max_admitted_images = 8, .max_batch_images = 4});
  server.Serve();
  std::vector<std::thread> clients;
  for (int t = 0; t < 6; ++t) {
    clients.emplace_back([&server, t] {
      for (int i = 0; i < 25; ++i) {
        Stream stream(server);
        for (uint64_t id = 0; id < 10; ++id) stream.Write(Message(id));
        for (int answer = 0; answer < (i + t) % 10; ++answer) stream.Read();
        if (i % 3 == 0) stream.WritesDone();
        stream.context().TryCancel();
        stream.Finish();
      }
    });
  }
  for (std::thread& client : clients) client.join();

  EXPECT_TRUE(Embed(*server.stub, SmallRequest()).status.ok());
  server.server->Shutdown(absl::Seconds(30));
  EXPECT_EQ(MetricValue(server.metrics, "requests_started_total"),
            MetricValue(server.metrics, "requests_total"));
  EXPECT_EQ(MetricValue(server.metrics, "inflight_images"), 0);
}

}  // namespace
}  // namespace tome
