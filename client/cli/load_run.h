#ifndef TOME_CLIENT_CLI_LOAD_RUN_H_
#define TOME_CLIENT_CLI_LOAD_RUN_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "client/cli/load_plan.h"
#include "client/cli/load_record.h"
#include "client/embedding.h"

namespace tome::client {

// Monotonic time, injected so that tests step it instead of sleeping. Thread-safe.
class LoadClock {
 public:
  virtual ~LoadClock() = default;

  virtual absl::Time Now() const = 0;

  // Waits until `changed` is notified, wakes by itself, or Now() reaches `deadline`.
  virtual void WaitUntil(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                         absl::Time deadline) = 0;

  // The machine's own. Never destroyed.
  static LoadClock& Steady();
};

// What is put under load.
class LoadTarget {
 public:
  virtual ~LoadTarget() = default;

  // Sends the image of this number, which counts up from 0. `done` is called exactly once, on any
  // thread.
  using Done = absl::AnyInvocable<void(absl::StatusOr<Embedding>)>;
  virtual void Send(int64_t number, std::optional<Schedule> schedule, Done done) = 0;

  // Makes what is unanswered end soon.
  virtual void Cancel() = 0;
};

struct LoadOptions {
  // Closed loop: so many images are on their way at any time; the next one is due when one ends.
  int concurrency = 8;
  // Open loop instead, where set: images are due at random times, so many a second on average,
  // whatever the answers.
  std::optional<double> rate;
  std::vector<RShare> r;  // empty: the server's default
  uint64_t seed = 1;
  absl::Duration warm_up = absl::Seconds(2);
  absl::Duration window = absl::Seconds(5);
  absl::Duration max_duration = absl::Seconds(60);  // of all windows; at least three
};

struct LoadResult {
  LoadRecord record;
  // The windows that count: the last three, or as many as there are.
  int first_window = 0;
  int end_window = 0;
  bool steady = false;
  bool interrupted = false;
};

// Images on their way at once in an open loop. Later ones wait, and their waiting counts.
inline constexpr int kMostImagesUnderWay = 4096;

// Puts `target` under load until three successive windows are steady, `max_duration` is over or
// `interrupted` says so; then waits for what is unanswered. Tells each window when it is whole.
LoadResult RunLoad(LoadTarget& target, LoadClock& clock, const LoadOptions& options,
                   absl::FunctionRef<bool()> interrupted,
                   absl::FunctionRef<void(const LoadWindow&)> window_is_whole);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_LOAD_RUN_H_
