#ifndef TOME_CLIENT_CLI_LOAD_RECORD_H_
#define TOME_CLIENT_CLI_LOAD_RECORD_H_

#include <cstddef>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

#include "client/embedding.h"

namespace tome::client {

// One image of a load run.
struct LoadSample {
  absl::Time due;  // when it was to be sent, whether it could be sent then or not
  absl::Time ended = absl::InfiniteFuture();
  absl::StatusCode code = absl::StatusCode::kUnknown;
  Timing timing;  // as its answer told

  // What its user waited, however late it was sent.
  absl::Duration latency() const { return ended - due; }
};

// The smallest of the values that is not below a share `p` of them all, in (0, 1]: no
// interpolation, no buckets. Nothing where the values are too few to tell: fewer than 1 / (1 - p).
std::optional<absl::Duration> Percentile(std::vector<absl::Duration> values, double p);

// What was due in one stretch of time.
struct LoadWindow {
  int embedded = 0;
  std::map<absl::StatusCode, int> errors;
  double images_per_second = 0.0;                // of those embedded
  std::optional<absl::Duration> median_latency;  // of those embedded
};

// The samples of a load run by windows of equal length from `begin` on. An image belongs to the
// window in which it was due, so that none is missing because it was slow; a window is whole when
// its time is over and each of its images has ended. Not thread-safe.
class LoadRecord {
 public:
  // What has to stay alike from window to window before a run is called steady. In a closed loop
  // the rate; in an open loop, whose rate is given, the median latency.
  enum class Steady { kRate, kMedianLatency };
  static constexpr int kSteadyWindows = 3;
  static constexpr double kSteadyWithin = 0.1;

  // REQUIRES: length > 0.
  LoadRecord(absl::Time begin, absl::Duration length, Steady steady);

  // Notes an image and gives its number. Before `begin` it belongs to no window. REQUIRES: not due
  // before the one before.
  size_t Sent(absl::Time due);
  void Ended(size_t number, absl::Time when, absl::StatusCode code, const Timing& timing);

  // How many windows, from the first on, are whole at `now`.
  int WholeWindows(absl::Time now) const;
  // REQUIRES: below WholeWindows.
  LoadWindow Window(int window) const { return Windows(window, window + 1); }
  // Those in [first, last) as one.
  LoadWindow Windows(int first, int last) const;
  // The samples of those windows, in the order in which they were due.
  std::vector<LoadSample> Samples(int first, int last) const;

  // Whether the last three of the first `windows` lie within 10% of the smallest of them.
  bool IsSteady(int windows) const;

 private:
  // Of the window in which `due` lies; negative before `begin`.
  int WindowOf(absl::Time due) const;

  const absl::Time begin_;
  const absl::Duration length_;
  const Steady steady_;
  std::vector<LoadSample> samples_;
  std::vector<size_t> first_;    // sample of each window
  std::vector<int> unanswered_;  // of each window
};

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_LOAD_RECORD_H_
