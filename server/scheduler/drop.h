#ifndef TOME_SERVER_SCHEDULER_DROP_H_
#define TOME_SERVER_SCHEDULER_DROP_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/base/cancellation.h"
#include "server/metrics/metrics.h"

namespace tome {

// Whether an image, or each of several, is still worth the next stage's time: OK, or why it is
// dropped now, which is counted. DEADLINE_EXCEEDED if `deadline` is reached at `now`, otherwise
// CANCELLED if the caller has gone. `stage` ends the message "the deadline passed before ...".
absl::Status CheckStillWanted(absl::Time now, absl::Time deadline, const Cancellation& cancellation,
                              absl::string_view stage, Metrics& metrics, int images = 1);

}  // namespace tome

#endif  // TOME_SERVER_SCHEDULER_DROP_H_
