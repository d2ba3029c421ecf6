#ifndef TOME_SERVER_CONFIG_VALUES_H_
#define TOME_SERVER_CONFIG_VALUES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/merge/merge_schedule.h"

// The text of values on the command line, in the environment and in the --config file.
// Errors are INVALID_ARGUMENT: the value in quotes and what is allowed. The caller puts the
// option's name in front.

namespace tome {

// A whole decimal number in [lowest, highest].
absl::StatusOr<int64_t> ParseInteger(absl::string_view text, int64_t lowest, int64_t highest);

// "0", "500ms", "30s", "5m", "1h30m" in [lowest, highest].
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text, absl::Duration lowest,
                                             absl::Duration highest);

// "20971520" or "20MiB" (KiB, MiB, GiB) in [lowest, highest].
absl::StatusOr<int64_t> ParseBytes(absl::string_view text, int64_t lowest, int64_t highest);
// The shortest text that ParseBytes reads as `bytes`.
std::string FormatBytes(int64_t bytes);

// "8" (the same r in every block), "linear:MEAN:INFLECTION" or "blocks:R,R,...": the schedules of
// MergeSchedule.
absl::StatusOr<MergeSchedule> ParseSchedule(absl::string_view text);
// The text that ParseSchedule reads as `schedule`.
std::string FormatSchedule(const MergeSchedule& schedule);

// "HOST:PORT" with a host name, an IPv4 address or an IPv6 address in brackets; port 0 lets the
// system choose.
absl::Status CheckAddress(absl::string_view text);

// 1 to 64 of A-Z a-z 0-9 . _ -
absl::Status CheckModelName(absl::string_view name);

}  // namespace tome

#endif  // TOME_SERVER_CONFIG_VALUES_H_
