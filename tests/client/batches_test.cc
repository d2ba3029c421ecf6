#include "client/batches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/status.h"
#include "tests/client/fake_server.h"

namespace tome::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using tome::v1::EmbedRequest;

// A picture is a number in a file; its embedding is that number. "bad" is no picture.
FakeServer::Reply AnswerNumber(const EmbedRequest& request, int) {
  const std::string& picture = request.input().encoded();
  if (picture == "bad") {
    return FakeServer::Error(grpc::StatusCode::INVALID_ARGUMENT, "neither a JPEG nor a PNG file");
  }
  return FakeServer::Answer({std::stof(picture)});
}

std::unique_ptr<Client> Connect(const FakeServer& server) {
  ClientOptions options;
  options.server = server.address();
  return std::move(Client::Create(options)).value();
}

std::vector<BatchItem> Items(const std::vector<std::string>& pictures) {
  std::vector<BatchItem> items;
  for (const std::string& picture : pictures) items.push_back({EncodedImage{picture}, {}});
  return items;
}

std::vector<size_t> Sizes(const std::vector<std::vector<BatchItem>>& batches) {
  std::vector<size_t> sizes;
  for (const auto& batch : batches) sizes.push_back(batch.size());
  return sizes;
}

TEST(SplitIntoBatchesTest, AllCallsAtOnceTakeHalfOfTheServersPlaces) {
  Limits limits;
  limits.images_per_call = 13;
  const auto sizes = [&](int calls_at_once) {
    return Sizes(
        SplitIntoBatches(Items({"1", "2", "3", "4", "5", "6", "7"}), limits, calls_at_once));
  };

  EXPECT_THAT(sizes(1), ElementsAre(6, 1));
  EXPECT_THAT(sizes(2), ElementsAre(3, 3, 1));
  EXPECT_THAT(sizes(100), ElementsAre(1, 1, 1, 1, 1, 1, 1));
}

TEST(SplitIntoBatchesTest, FillsNoCallBeyondTheServersLimits) {
  const std::string large(4000, 'x');
  Limits limits;
  limits.images_per_call = 12;

  // Room for two large ones beside what a message holds anyway.
  limits.message_bytes = 4096 + 2 * 4100;
  EXPECT_THAT(Sizes(SplitIntoBatches(Items({large, large, large, "1", "2", "3"}), limits, 2)),
              ElementsAre(2, 3, 1));
}

TEST(SplitIntoBatchesTest, AnItemTooLargeForAnyCallGetsOneOfItsOwn) {
  Limits limits;
  limits.message_bytes = 5000;

  EXPECT_THAT(Sizes(SplitIntoBatches(Items({"1", std::string(9000, 'x'), "2"}), limits, 1)),
              ElementsAre(1, 1, 1));
}

TEST(SplitIntoBatchesTest, PutsAllIntoOneCallWhereNothingIsLimited) {
  EXPECT_THAT(Sizes(SplitIntoBatches(Items({"1", "2", "3"}), {}, 2)), ElementsAre(3));
  EXPECT_THAT(SplitIntoBatches({}, {}, 2), IsEmpty());
}

TEST(EmbedBatchTest, GivesAResultAnItemInTheirOrder) {
  FakeServer server(AnswerNumber);
  EmbedOptions options;
  options.schedule = ConstantSchedule{4};
  std::vector<BatchItem> items = Items({"1", "bad", "3"});
  items[2].schedule = ConstantSchedule{8};

  const absl::StatusOr<BatchResults> results =
      Connect(server)->EmbedBatch(std::move(items), options);

  ASSERT_TRUE(results.ok()) << results.status();
  ASSERT_THAT(*results, SizeIs(3));
  EXPECT_THAT((*results)[0].value().vector, ElementsAre(1.0f));
  EXPECT_EQ((*results)[1].status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(RequestIdOf((*results)[1].status()), "");
  EXPECT_THAT((*results)[2].value().vector, ElementsAre(3.0f));
  EXPECT_EQ(server.calls().at(0).request.merge().constant(), 4u);
  EXPECT_EQ(server.calls().at(2).request.merge().constant(), 8u);
}

TEST(EmbedBatchTest, ARefusedBatchIsSentAgainWhole) {
  FakeServer server([](const EmbedRequest& request, int call) {
    return call == 1 ? FakeServer::Full("1") : AnswerNumber(request, call);
  });

  const absl::StatusOr<BatchResults> results = Connect(server)->EmbedBatch(Items({"1", "2"}));

  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_EQ((*results)[1].value().retries, 1);
  EXPECT_THAT(server.batches(), ElementsAre(2, 2));
}

TEST(EmbedAllTest, SendsAsManyCallsAsTheLimitsAskForAndKeepsTheOrder) {
  FakeServer server(AnswerNumber);
  const std::unique_ptr<Client> client = Connect(server);

  const auto results = EmbedAll(*client, Items({"1", "2", "3", "4", "bad", "6", "7"}));

  ASSERT_THAT(results, SizeIs(7));
  for (const int i : {0, 1, 2, 3, 5, 6}) {
    ASSERT_TRUE(results[i].ok()) << results[i].status();
    EXPECT_THAT(results[i]->vector, ElementsAre(static_cast<float>(i + 1)));
  }
  EXPECT_EQ(results[4].status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(server.batches(), ::testing::UnorderedElementsAre(3, 3, 1));
}

TEST(EmbedAllTest, ACallThatFailsFailsItsItemsAlone) {
  FakeServer server([](const EmbedRequest& request, int call) {
    return request.input().encoded() == "5"
               ? FakeServer::Error(grpc::StatusCode::RESOURCE_EXHAUSTED, "message too large")
               : AnswerNumber(request, call);
  });
  const std::unique_ptr<Client> client = Connect(server);

  const auto results = EmbedAll(*client, Items({"1", "2", "3", "4", "5", "6", "7"}));

  ASSERT_THAT(results, SizeIs(7));
  for (const int i : {0, 1, 2, 6}) EXPECT_TRUE(results[i].ok()) << results[i].status();
  for (const int i : {3, 4, 5}) {
    EXPECT_EQ(results[i].status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(results[i].status().message()), HasSubstr("message too large"));
  }
}

TEST(ClientFutureTest, GivesTheResultOfACallThatRunsOnItsOwn) {
  FakeServer server(AnswerNumber);
  const std::unique_ptr<Client> client = Connect(server);

  auto good = client->EmbedAsync(EncodedImage{"5"});
  auto bad = client->EmbedAsync(EncodedImage{"bad"});

  EXPECT_THAT(good.get().value().vector, ElementsAre(5.0f));
  EXPECT_EQ(bad.get().status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tome::client
