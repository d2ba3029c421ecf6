#ifndef TOME_CLIENT_CLI_LOAD_PLAN_H_
#define TOME_CLIENT_CLI_LOAD_PLAN_H_

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

// What a load run draws at random. The same seed draws the same on every machine.

namespace tome::client {

// Arrivals of users who know nothing of each other: gaps are exponential, so that their number in
// any stretch of time is Poisson. Not thread-safe.
class PoissonArrivals {
 public:
  // REQUIRES: per_second > 0.
  PoissonArrivals(double per_second, uint64_t seed);

  // The next arrival, counted from the start; not before the one before.
  absl::Duration Next();

 private:
  const double per_second_;
  std::mt19937_64 random_;
  double seconds_ = 0.0;
};

// An r and how often it is drawn beside the others.
struct RShare {
  uint32_t r = 0;
  double weight = 1.0;
};

// "8", "0,8,16" in equal shares, or "0:0.5,8:0.3,16:0.2". INVALID_ARGUMENT tells what was expected.
absl::StatusOr<std::vector<RShare>> ParseRShares(absl::string_view text);
// "8" or "0:0.5,8:0.3".
std::string RSharesText(const std::vector<RShare>& shares);

// Draws an r by the weights. Not thread-safe.
class RMix {
 public:
  // REQUIRES: at least one share, each weight > 0.
  RMix(const std::vector<RShare>& shares, uint64_t seed);

  uint32_t Next();

 private:
  const std::vector<RShare> shares_;
  double weights_ = 0.0;
  std::mt19937_64 random_;
};

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_LOAD_PLAN_H_
