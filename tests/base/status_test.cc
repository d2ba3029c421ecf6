#include "server/base/status.h"

#include <gtest/gtest.h>

namespace tome {
namespace {

TEST(StatusTest, AnInvalidFieldNamesItselfInMessageAndPayload) {
  const absl::Status status = InvalidField("merge.linear.inflection", "1.5 is outside [-1, 1]");

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "merge.linear.inflection: 1.5 is outside [-1, 1]");
  EXPECT_EQ(FieldOf(status), "merge.linear.inflection");
}

TEST(StatusTest, AParentGoesBeforeTheField) {
  const absl::Status status = WithFieldParent(InvalidField("input.rgb", "is empty"), "items[3]");

  EXPECT_EQ(status.message(), "items[3].input.rgb: is empty");
  EXPECT_EQ(FieldOf(status), "items[3].input.rgb");
}

TEST(StatusTest, AParentBecomesTheFieldOfAnInvalidArgumentWithoutOne) {
  const absl::Status status =
      WithFieldParent(absl::InvalidArgumentError("ends early"), "input.encoded");

  EXPECT_EQ(status.message(), "input.encoded: ends early");
  EXPECT_EQ(FieldOf(status), "input.encoded");
}

TEST(StatusTest, AParentLeavesOtherErrorsAlone) {
  const absl::Status status = absl::NotFoundError("no such model");

  EXPECT_EQ(WithFieldParent(status, "items[0]"), status);
}

TEST(StatusTest, ExhaustedCarriesItsRetryHint) {
  const absl::Status status = Exhausted("queue is full", absl::Milliseconds(250));

  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(RetryAfterOf(status), absl::Milliseconds(250));
  EXPECT_EQ(RetryAfterOf(absl::ResourceExhaustedError("too large")), std::nullopt);
}

absl::StatusOr<int> Half(int n) {
  if (n % 2 != 0) return absl::InvalidArgumentError("odd");
  return n / 2;
}

absl::StatusOr<int> Quarter(int n) {
  TOME_ASSIGN_OR_RETURN(const int half, Half(n));
  TOME_RETURN_IF_ERROR(Half(half).status());
  return half / 2;
}

TEST(StatusTest, TheMacrosPassErrorsOnAndValuesThrough) {
  EXPECT_EQ(*Quarter(12), 3);
  EXPECT_EQ(Quarter(3).status().message(), "odd");
  EXPECT_EQ(Quarter(6).status().message(), "odd");
}

}  // namespace
}  // namespace tome
