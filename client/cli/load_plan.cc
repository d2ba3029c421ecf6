#include "client/cli/load_plan.h"

#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace tome::client {
namespace {

// In [0, 1). The standard's distributions may differ from library to library; this does not.
double Uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

}  // namespace

PoissonArrivals::PoissonArrivals(double per_second, uint64_t seed)
    : per_second_(per_second), random_(seed) {}

absl::Duration PoissonArrivals::Next() {
  seconds_ -= std::log1p(-Uniform(random_)) / per_second_;
  return absl::Seconds(seconds_);
}

absl::StatusOr<std::vector<RShare>> ParseRShares(absl::string_view text) {
  std::vector<RShare> shares;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> words =
        absl::StrSplit(part, absl::MaxSplits(':', 1));
    RShare share;
    const bool weighted = words.first.size() < part.size();
    if (!absl::SimpleAtoi(words.first, &share.r) ||
        (weighted && !absl::SimpleAtod(words.second, &share.weight))) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", text, "' is neither an r nor a list such as 0,8 or 0:0.7,8:0.3"));
    }
    // Written so that a NaN fails.
    if (!(share.weight > 0.0 && std::isfinite(share.weight))) {
      return absl::InvalidArgumentError(
          absl::StrCat("the weight ", words.second, " of r ", share.r, " is not above 0"));
    }
    shares.push_back(share);
  }
  return shares;
}

std::string RSharesText(const std::vector<RShare>& shares) {
  if (shares.size() == 1) return absl::StrCat(shares.front().r);
  return absl::StrJoin(shares, ",", [](std::string* out, const RShare& share) {
    absl::StrAppend(out, share.r, ":", share.weight);
  });
}

RMix::RMix(const std::vector<RShare>& shares, uint64_t seed) : shares_(shares), random_(seed) {
  for (const RShare& share : shares_) weights_ += share.weight;
}

uint32_t RMix::Next() {
  double left = Uniform(random_) * weights_;
  for (const RShare& share : shares_) {
    left -= share.weight;
    if (left < 0.0) return share.r;
  }
  return shares_.back().r;  // by rounding
}

}  // namespace tome::client
