#include "server/scheduler/drop.h"

#include "absl/strings/str_cat.h"

namespace tome {

absl::Status CheckStillWanted(absl::Time now, absl::Time deadline, const Cancellation& cancellation,
                              absl::string_view stage, Metrics& metrics, int images) {
  // The deadline first: a call whose deadline passes is cancelled, too, and that is not the reason.
  if (now >= deadline) {
    metrics.ImagesDropped(DropReason::kExpired, images);
    return absl::DeadlineExceededError(absl::StrCat("the deadline passed before ", stage));
  }
  if (cancellation.IsCancelled()) {
    metrics.ImagesDropped(DropReason::kCancelled, images);
    return absl::CancelledError(absl::StrCat("the caller cancelled before ", stage));
  }
  return absl::OkStatus();
}

}  // namespace tome
