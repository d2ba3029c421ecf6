#include "server/rpc/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "server/base/status.h"
#include "tests/rpc/status_details.h"

namespace tome {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::Not;
using ::testing::SizeIs;

TEST(ToGrpcStatusTest, OkHasNoDetails) {
  const grpc::Status status = ToGrpcStatus(absl::OkStatus(), "id-1");

  EXPECT_TRUE(status.ok());
  EXPECT_THAT(status.error_details(), IsEmpty());
}

TEST(ToGrpcStatusTest, AWrongFieldIsABadRequest) {
  const grpc::Status status = ToGrpcStatus(InvalidField("merge.constant", "9 is too much"), "id-1");

  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "merge.constant: 9 is too much");
  EXPECT_EQ(RichStatusOf(status).code(), 3);
  EXPECT_EQ(RichStatusOf(status).message(), status.error_message());
  const auto bad_request = DetailOf<google::rpc::BadRequest>(status);
  ASSERT_THAT(bad_request.field_violations(), SizeIs(1));
  EXPECT_EQ(bad_request.field_violations(0).field(), "merge.constant");
  EXPECT_EQ(bad_request.field_violations(0).description(), status.error_message());
  EXPECT_EQ(DetailOf<google::rpc::RequestInfo>(status).request_id(), "id-1");
}

TEST(ToGrpcStatusTest, AFullQueueSaysWhenToRetry) {
  const grpc::Status status = ToGrpcStatus(Exhausted("full", absl::Milliseconds(1250)), "id-1");

  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  const auto retry = DetailOf<google::rpc::RetryInfo>(status);
  EXPECT_EQ(retry.retry_delay().seconds(), 1);
  EXPECT_EQ(retry.retry_delay().nanos(), 250'000'000);
}

TEST(ToGrpcStatusTest, AnExhaustionWithoutAHintHasNoRetryInfo) {
  const grpc::Status status = ToGrpcStatus(absl::ResourceExhaustedError("quota"), "id-1");

  EXPECT_THAT(RichStatusOf(status).details(), SizeIs(1));
  EXPECT_EQ(DetailOf<google::rpc::RequestInfo>(status).request_id(), "id-1");
}

TEST(ToGrpcStatusTest, AnInternalErrorIsLoggedAndNotTold) {
  testing::internal::CaptureStderr();
  const grpc::Status status =
      ToGrpcStatus(absl::InternalError("tensor at 0x7fff in /opt/model"), "id-1");
  const std::string log = testing::internal::GetCapturedStderr();

  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(status.error_message(), "internal error, request id id-1");
  EXPECT_THAT(status.error_details(), Not(HasSubstr("tensor")));
  EXPECT_THAT(log, AllOf(HasSubstr(" error "), HasSubstr("request_id=id-1"),
                         HasSubstr("tensor at 0x7fff in /opt/model")));
}

TEST(ToGrpcStatusTest, AnUndocumentedCodeIsInternal) {
  testing::internal::CaptureStderr();
  const grpc::Status unknown = ToGrpcStatus(absl::UnknownError("secret"), "id-1");
  const grpc::Status aborted = ToGrpcStatus(absl::AbortedError("secret"), "id-1");
  testing::internal::GetCapturedStderr();

  EXPECT_EQ(unknown.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(aborted.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_THAT(unknown.error_message(), Not(HasSubstr("secret")));
}

TEST(ToGrpcStatusTest, DocumentedCodesAreThemselves) {
  const absl::StatusCode codes[] = {
      absl::StatusCode::kCancelled,         absl::StatusCode::kInvalidArgument,
      absl::StatusCode::kDeadlineExceeded,  absl::StatusCode::kNotFound,
      absl::StatusCode::kResourceExhausted, absl::StatusCode::kFailedPrecondition,
      absl::StatusCode::kUnimplemented,     absl::StatusCode::kUnavailable,
      absl::StatusCode::kUnauthenticated};
  for (const absl::StatusCode code : codes) {
    const grpc::Status status = ToGrpcStatus(absl::Status(code, "why"), "id-1");

    EXPECT_EQ(static_cast<int>(status.error_code()), static_cast<int>(code));
    EXPECT_EQ(status.error_message(), "why");
  }
}

TEST(ToGrpcStatusTest, ALongTextIsCutBetweenCharactersSoThatItFitsTheMetadata) {
  std::string name = "x";
  while (name.size() < 100'000) name += "\u00fc";

  const grpc::Status status = ToGrpcStatus(absl::NotFoundError(name), "id-1");

  EXPECT_THAT(status.error_message(), AllOf(SizeIs(Le(1027u)), EndsWith("\u00fc...")));
  EXPECT_THAT(status.error_details(), SizeIs(Le(1200u)));
}

}  // namespace
}  // namespace tome
