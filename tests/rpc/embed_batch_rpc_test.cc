#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/rpc/loopback_server.h"
#include "tests/rpc/status_details.h"
#include "tests/testing/metric_value.h"

// EmbedBatch over a real connection.

namespace tome {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr int64_t kGrpcDefaultMessageBytes = 4 << 20;

v1::EmbedBatchRequest BatchRequest(int images) {
  v1::EmbedBatchRequest request;
  for (int i = 0; i < images; ++i) {
    *request.add_items()->mutable_input() = SmallRequest(static_cast<char>(i)).input();
  }
  return request;
}

grpc::Status EmbedBatch(LoopbackServer& server, const v1::EmbedBatchRequest& request,
                        v1::EmbedBatchResponse& response) {
  grpc::ClientContext context;
  context.AddMetadata("x-request-id", "batch-1");
  return server.stub->EmbedBatch(&context, request, &response);
}

TEST(EmbedBatchRpcTest, AnswersAsEmbedWouldForEachImageInOrder) {
  LoopbackServer server({.max_batch_images = 8});
  server.Serve();
  v1::EmbedBatchRequest request = BatchRequest(3);
  request.mutable_items(1)->mutable_merge()->set_constant(5);
  request.mutable_output()->set_element_type(v1::ELEMENT_TYPE_INT8);
  request.mutable_output()->set_dimensions(5);

  v1::EmbedBatchResponse batch;
  const grpc::Status status = EmbedBatch(server, request, batch);

  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(batch.model().name(), "small");
  EXPECT_EQ(batch.model().weights_digest(), "0123456789abcdef");
  ASSERT_THAT(batch.results(), SizeIs(3));
  for (int i = 0; i < 3; ++i) {
    v1::EmbedRequest single = SmallRequest(static_cast<char>(i));
    if (i == 1) single.mutable_merge()->set_constant(5);
    *single.mutable_output() = request.output();
    const v1::Embedding expected = Embed(*server.stub, single).response.embedding();
    EXPECT_EQ(batch.results(i).embedding().vector().SerializeAsString(),
              expected.vector().SerializeAsString());
    EXPECT_EQ(batch.results(i).embedding().applied().SerializeAsString(),
              expected.applied().SerializeAsString());
  }
  EXPECT_EQ(
      MetricValue(server.metrics, "requests_total", {{"method", "EmbedBatch"}, {"code", "OK"}}), 1);
}

TEST(EmbedBatchRpcTest, ABadImagesResultNamesItsFieldAndTheRequest) {
  LoopbackServer server;
  server.Serve();
  v1::EmbedBatchRequest request = BatchRequest(3);
  request.mutable_items(0)->clear_input();
  request.mutable_items(2)->mutable_merge()->mutable_linear()->set_inflection(1.5);

  v1::EmbedBatchResponse response;
  const grpc::Status status = EmbedBatch(server, request, response);

  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_THAT(response.results(), SizeIs(3));
  EXPECT_EQ(response.results(0).error().code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(response.results(0).error().message(), HasSubstr("items[0].input: missing"));
  EXPECT_TRUE(response.results(1).has_embedding());
  const google::rpc::Status& error = response.results(2).error();
  EXPECT_EQ(error.message(), "items[2].merge.linear.inflection: 1.5 is outside [-1, 1]");
  ASSERT_THAT(error.details(), SizeIs(2));
  google::rpc::RequestInfo info;
  ASSERT_TRUE(error.details(0).UnpackTo(&info));
  EXPECT_EQ(info.request_id(), "batch-1");
  google::rpc::BadRequest bad_request;
  ASSERT_TRUE(error.details(1).UnpackTo(&bad_request));
  EXPECT_EQ(bad_request.field_violations(0).field(), "items[2].merge.linear.inflection");
}

TEST(EmbedBatchRpcTest, TooManyImagesAreRefusedWithThePublishedLimit) {
  LoopbackServer server({.max_admitted_images = 4});
  server.Serve();
  grpc::ClientContext context;
  v1::GetModelResponse model;
  ASSERT_TRUE(server.stub->GetModel(&context, {}, &model).ok());

  v1::EmbedBatchResponse response;
  const grpc::Status status = EmbedBatch(server, BatchRequest(5), response);

  EXPECT_EQ(model.limits().images_per_call(), 4u);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("5 images, a call to this model takes 1 to 4"));
  EXPECT_EQ(DetailOf<google::rpc::BadRequest>(status).field_violations(0).field(), "items");
}

TEST(EmbedBatchRpcTest, ThatABatchIsRefusedWholeSaysWhenToRetry) {
  LoopbackServer server({.max_admitted_images = 2});
  server.Serve();
  server.engine.OnRun([&server] {
    v1::EmbedBatchResponse response;
    const grpc::Status refused = EmbedBatch(server, BatchRequest(2), response);
    EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    const auto retry = DetailOf<google::rpc::RetryInfo>(refused).retry_delay();
    EXPECT_GT(retry.seconds() * 1e3 + retry.nanos() * 1e-6, 0.0);
  });

  EXPECT_TRUE(Embed(*server.stub, SmallRequest()).status.ok());
}

TEST(EmbedBatchRpcTest, TheLargestAnswerFitsTheDefaultMessageOfAClient) {
  ModelFacts facts = FakeEngine::SmallModel();
  facts.embedding_dim = 10'000;
  LoopbackServer server({.max_admitted_images = 1000, .max_batch_images = 1000, .facts = facts});
  server.Serve();
  grpc::ClientContext context;
  v1::GetModelResponse model;
  ASSERT_TRUE(server.stub->GetModel(&context, {}, &model).ok());
  const int images = static_cast<int>(model.limits().images_per_call());
  v1::EmbedBatchRequest request = BatchRequest(images);
  request.mutable_output()->set_merge_map(true);

  v1::EmbedBatchResponse response;
  const grpc::Status status = EmbedBatch(server, request, response);

  ASSERT_LT(images, 1000) << "the answer shall be what limits it";
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_LE(response.ByteSizeLong(), kGrpcDefaultMessageBytes);
  EXPECT_GT(response.ByteSizeLong(), kGrpcDefaultMessageBytes * 9 / 10);
}

TEST(EmbedBatchRpcTest, ACancelledBatchIsCountedOnceAndLeavesNothingBehind) {
  LoopbackServer server({.max_admitted_images = 4});
  server.Serve();
  grpc::ClientContext context;
  server.engine.OnRun([&context] { context.TryCancel(); });
  v1::EmbedBatchResponse response;

  const grpc::Status status = server.stub->EmbedBatch(&context, BatchRequest(4), &response);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  server.server->Shutdown(absl::Seconds(30));
  EXPECT_EQ(MetricValue(server.metrics, "requests_total", {{"method", "EmbedBatch"}}), 1);
  EXPECT_EQ(MetricValue(server.metrics, "inflight_images"), 0);
}

}  // namespace
}  // namespace tome
