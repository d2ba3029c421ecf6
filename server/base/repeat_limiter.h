#ifndef TOME_SERVER_BASE_REPEAT_LIMITER_H_
#define TOME_SERVER_BASE_REPEAT_LIMITER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/base/clock.h"
#include "server/base/mutex.h"

namespace tome {

// Thins what repeats: of each key the first `burst` of every `window` pass, the others are counted.
// Keys are kept for good, so they are few: a program's own messages, say. Thread-safe.
class RepeatLimiter {
 public:
  RepeatLimiter(int burst, absl::Duration window, const Clock& clock)
      : burst_(burst), window_(window), clock_(clock) {}

  // nullopt: one too many. Otherwise how many were held back since the last one that passed.
  std::optional<int64_t> Pass(absl::string_view key) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Repeats {
    absl::Time window_end = absl::InfinitePast();
    int passed = 0;
    int64_t held_back = 0;
  };

  // Constant after construction.
  const int burst_;
  const absl::Duration window_;
  const Clock& clock_;

  Mutex mu_;
  std::map<std::string, Repeats, std::less<>> repeats_ ABSL_GUARDED_BY(mu_);
};

}  // namespace tome

#endif  // TOME_SERVER_BASE_REPEAT_LIMITER_H_
