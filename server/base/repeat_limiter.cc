#include "server/base/repeat_limiter.h"

#include <utility>

namespace tome {

std::optional<int64_t> RepeatLimiter::Pass(absl::string_view key) {
  const absl::Time now = clock_.Now();
  MutexLock lock(mu_);
  auto found = repeats_.find(key);
  if (found == repeats_.end()) found = repeats_.emplace(std::string(key), Repeats{}).first;
  Repeats& repeats = found->second;
  if (now >= repeats.window_end) {
    repeats.window_end = now + window_;
    repeats.passed = 0;
  }
  if (repeats.passed == burst_) {
    ++repeats.held_back;
    return std::nullopt;
  }
  ++repeats.passed;
  return std::exchange(repeats.held_back, 0);
}

}  // namespace tome
