#include "server/metrics/exposer.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "tests/metrics/scrape.h"

namespace tome {
namespace {

TEST(MetricsExposerTest, PortZeroIsReplacedByTheOneThatIsBound) {
  Metrics metrics;

  const auto first = MetricsExposer::Start("127.0.0.1:0", metrics);
  const auto second = MetricsExposer::Start("127.0.0.1:0", metrics);

  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_GT((*first)->port(), 0);
  EXPECT_GT((*second)->port(), 0);
  EXPECT_NE((*first)->port(), (*second)->port());
}

TEST(MetricsExposerTest, AHostNameIsResolved) {
  Metrics metrics;

  const auto exposer = MetricsExposer::Start("localhost:0", metrics);

  ASSERT_TRUE(exposer.ok()) << exposer.status();
  EXPECT_TRUE(
      absl::StartsWith(HttpGet("127.0.0.1", (*exposer)->port(), "/metrics"), "HTTP/1.1 200 "));
}

TEST(MetricsExposerTest, AnIpv6AddressIsServedOrTheReasonGiven) {
  Metrics metrics;

  const auto exposer = MetricsExposer::Start("[::1]:0", metrics);

  if (exposer.ok()) {
    EXPECT_TRUE(absl::StartsWith(HttpGet("::1", (*exposer)->port(), "/metrics"), "HTTP/1.1 200 "));
  } else {
    EXPECT_TRUE(absl::StrContains(exposer.status().message(), "IPv6, which")) << exposer.status();
  }
}

TEST(MetricsExposerTest, AnAddressOfAnotherMachineIsAnErrorThatSaysSo) {
  Metrics metrics;

  // 192.0.2.0/24 is kept for documentation (RFC 5737): no machine has it.
  const auto exposer = MetricsExposer::Start("192.0.2.1:0", metrics);

  EXPECT_EQ(exposer.status().message(),
            "metrics-listen: cannot listen on \"192.0.2.1:0\": Cannot assign requested address");
}

TEST(MetricsExposerTest, WhatIsNoAddressIsAnError) {
  Metrics metrics;

  const auto exposer = MetricsExposer::Start("nonsense", metrics);

  EXPECT_EQ(exposer.status().message(),
            "metrics-listen: cannot listen on \"nonsense\": not HOST:PORT, or IPv6, which "
            "this system's civetweb is built without");
}

TEST(MetricsExposerTest, APortThatIsTakenIsAnErrorThatNamesIt) {
  Metrics metrics;
  const auto first = MetricsExposer::Start("127.0.0.1:0", metrics);
  ASSERT_TRUE(first.ok()) << first.status();
  const std::string taken = absl::StrCat("127.0.0.1:", (*first)->port());

  const auto second = MetricsExposer::Start(taken, metrics);

  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable) << second.status();
  EXPECT_EQ(second.status().message(), absl::StrCat("metrics-listen: cannot listen on \"", taken,
                                                    "\": Address already in use"));
}

TEST(MetricsExposerTest, AnotherPathIsNotFound) {
  Metrics metrics;
  const auto exposer = MetricsExposer::Start("127.0.0.1:0", metrics);
  ASSERT_TRUE(exposer.ok()) << exposer.status();

  const std::string answer = HttpGet("127.0.0.1", (*exposer)->port(), "/etc/passwd");

  EXPECT_TRUE(absl::StartsWith(answer, "HTTP/1.1 404 ")) << answer;
}

TEST(MetricsExposerTest, ThePortIsFreeAgainAfterwards) {
  Metrics metrics;
  auto first = MetricsExposer::Start("127.0.0.1:0", metrics);
  ASSERT_TRUE(first.ok()) << first.status();
  const int port = (*first)->port();

  first->reset();

  EXPECT_TRUE(absl::StartsWith(HttpGet("127.0.0.1", port, "/metrics"), "connect: "));
}

}  // namespace
}  // namespace tome
