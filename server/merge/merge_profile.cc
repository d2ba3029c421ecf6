#include "server/merge/merge_profile.h"

#include <algorithm>

namespace tome {

std::optional<double> MergeProfile::FidelityAt(int r) const {
  const auto above = std::ranges::lower_bound(steps, r, {}, &Step::r);
  if (above == steps.end()) return std::nullopt;
  if (above->r == r || above == steps.begin()) return above->fidelity;
  const Step& below = *(above - 1);
  const double share = static_cast<double>(r - below.r) / (above->r - below.r);
  return below.fidelity + share * (above->fidelity - below.fidelity);
}

}  // namespace tome
