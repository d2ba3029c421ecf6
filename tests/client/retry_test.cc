#include "client/retry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

namespace tome::client {
namespace {

using absl::StatusCode;
using ::testing::Eq;
using ::testing::Optional;

constexpr absl::Duration kLong = absl::Hours(1);

TEST(RetriesTest, WaitsAsLongAsTheServerAsksAndUpToAQuarterMore) {
  Retries retries{RetryPolicy()};

  EXPECT_THAT(retries.Next(StatusCode::kResourceExhausted, "200", 0.0, kLong),
              Optional(absl::Milliseconds(200)));
  EXPECT_THAT(retries.Next(StatusCode::kResourceExhausted, "200", 0.5, kLong),
              Optional(absl::Milliseconds(225)));
  EXPECT_EQ(retries.count(), 2);
}

TEST(RetriesTest, ACallRefusedAgainAndAgainComesBackLessAndLessOften) {
  Retries retries(
      {.initial_backoff = absl::Milliseconds(100), .max_backoff = absl::Milliseconds(500)});

  for (const int milliseconds : {150, 150, 200, 400, 500, 500}) {
    EXPECT_THAT(retries.Next(StatusCode::kResourceExhausted, "150", 0.0, kLong),
                Optional(absl::Milliseconds(milliseconds)));
  }
  EXPECT_THAT(retries.Next(StatusCode::kResourceExhausted, "700", 0.0, kLong),
              Optional(absl::Milliseconds(700)));
}

TEST(RetriesTest, DoesNotRetryAFullQueueWithoutAUsableHint) {
  Retries retries{RetryPolicy()};

  EXPECT_EQ(retries.Next(StatusCode::kResourceExhausted, std::nullopt, 0.0, kLong), std::nullopt);
  EXPECT_EQ(retries.Next(StatusCode::kResourceExhausted, "-1", 0.0, kLong), std::nullopt);
  EXPECT_EQ(retries.Next(StatusCode::kResourceExhausted, "soon", 0.0, kLong), std::nullopt);
  EXPECT_EQ(retries.count(), 0);
}

TEST(RetriesTest, DoublesTheWaitForAnUnavailableServerUpToTheLargest) {
  Retries retries({.max_unavailable_retries = 5,
                   .initial_backoff = absl::Milliseconds(100),
                   .max_backoff = absl::Milliseconds(500)});

  for (const int milliseconds : {100, 200, 400, 500, 500}) {
    EXPECT_THAT(retries.Next(StatusCode::kUnavailable, std::nullopt, 0.5, kLong),
                Optional(absl::Milliseconds(milliseconds)));
  }
  EXPECT_EQ(retries.Next(StatusCode::kUnavailable, std::nullopt, 0.5, kLong), std::nullopt);
}

TEST(RetriesTest, SpreadsBackoffsByAQuarterToEitherSide) {
  Retries retries({.initial_backoff = absl::Milliseconds(100)});

  EXPECT_THAT(retries.Next(StatusCode::kUnavailable, std::nullopt, 0.0, kLong),
              Optional(absl::Milliseconds(75)));
  EXPECT_THAT(retries.Next(StatusCode::kUnavailable, std::nullopt, 1.0, kLong),
              Optional(absl::Milliseconds(250)));
}

TEST(RetriesTest, CountsTheTwoReasonsApart) {
  Retries retries({.max_pushback_retries = 1, .max_unavailable_retries = 1});

  EXPECT_NE(retries.Next(StatusCode::kResourceExhausted, "1", 0.0, kLong), std::nullopt);
  EXPECT_NE(retries.Next(StatusCode::kUnavailable, std::nullopt, 0.0, kLong), std::nullopt);
  EXPECT_EQ(retries.Next(StatusCode::kResourceExhausted, "1", 0.0, kLong), std::nullopt);
  EXPECT_EQ(retries.Next(StatusCode::kUnavailable, std::nullopt, 0.0, kLong), std::nullopt);
}

TEST(RetriesTest, BeginsNoWaitThatWouldReachTheDeadline) {
  Retries retries{RetryPolicy()};

  EXPECT_EQ(retries.Next(StatusCode::kResourceExhausted, "200", 0.0, absl::Milliseconds(200)),
            std::nullopt);
  EXPECT_EQ(retries.Next(StatusCode::kUnavailable, std::nullopt, 0.0, absl::Milliseconds(75)),
            std::nullopt);
  EXPECT_THAT(retries.Next(StatusCode::kResourceExhausted, "200", 0.0, absl::Milliseconds(201)),
              Optional(Eq(absl::Milliseconds(200))));
}

TEST(RetriesTest, RetriesNoOtherFailureEvenWithAHint) {
  for (const StatusCode code :
       {StatusCode::kInvalidArgument, StatusCode::kDeadlineExceeded, StatusCode::kInternal,
        StatusCode::kCancelled, StatusCode::kFailedPrecondition, StatusCode::kUnknown}) {
    Retries retries{RetryPolicy()};
    EXPECT_EQ(retries.Next(code, "1", 0.0, kLong), std::nullopt) << absl::StatusCodeToString(code);
  }
}

}  // namespace
}  // namespace tome::client
