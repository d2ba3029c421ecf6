#include "server/scheduler/admission.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include "server/base/status.h"

namespace tome {
namespace {

// A release this much busy time ago weighs 1/e of one now: some batches, but not the last minute.
constexpr double kFadingSeconds = 2.0;
// Before anything was given back there is no rate to go by.
constexpr absl::Duration kRetryWithoutHistory = absl::Seconds(1);
constexpr absl::Duration kShortestRetry = absl::Milliseconds(10);
constexpr absl::Duration kLongestRetry = absl::Seconds(10);

}  // namespace

Permit::Permit(Permit&& other) noexcept
    : admission_(std::exchange(other.admission_, nullptr)),
      images_(std::exchange(other.images_, 0)),
      waited_(other.waited_) {}

Permit& Permit::operator=(Permit&& other) noexcept {
  // What this one held goes with `given`, also when a permit is moved to itself.
  Permit given(std::move(other));
  std::swap(admission_, given.admission_);
  std::swap(images_, given.images_);
  std::swap(waited_, given.waited_);
  return *this;
}

Permit Permit::Split(int images) {
  images_ -= images;
  return Permit(admission_, images, waited_);
}

Permit::~Permit() {
  if (admission_ != nullptr) admission_->Release(images_, waited_);
}

Admission::Admission(int max_images, Clock& clock, Metrics& metrics)
    : max_images_(max_images),
      max_waited_images_(max_images - max_images / 4),
      clock_(clock),
      metrics_(metrics) {}

absl::StatusOr<Permit> Admission::Admit(int images) {
  if (images > max_images_) {
    return absl::InvalidArgumentError(absl::StrCat(
        images, " images in one call, the server takes at most ", max_images_, " at once"));
  }
  absl::Duration retry_after;
  {
    MutexLock lock(mu_);
    const int images_over = admitted_ + images - max_images_;
    if (images_over <= 0) {
      Take(images);
      return Permit(this, images, /*waited=*/false);
    }
    retry_after = RetryAfter(images_over);
  }
  metrics_.ImagesDropped(DropReason::kFull, images);
  return Exhausted(
      absl::StrCat("the server has all of the ", max_images_,
                   " images it takes at once; try again in ", absl::FormatDuration(retry_after)),
      retry_after);
}

void Admission::AdmitWhenFree(absl::AnyInvocable<void(Permit)> admitted) {
  {
    MutexLock lock(mu_);
    if (!waiting_.empty() || !HasRoomForWaiting()) {
      waiting_.push_back(std::move(admitted));
      return;
    }
    Take(1);
    ++waited_;
  }
  admitted(Permit(this, 1, /*waited=*/true));
}

void Admission::Take(int images) {
  if (admitted_ == 0) counted_until_ = clock_.Now();
  admitted_ += images;
  metrics_.AddInflightImages(images);
}

bool Admission::HasRoomForWaiting() const {
  return admitted_ < max_images_ && waited_ < max_waited_images_;
}

void Admission::Release(int images, bool waited) {
  std::vector<absl::AnyInvocable<void(Permit)>> admitted;
  {
    MutexLock lock(mu_);
    CountRelease(images);
    admitted_ -= images;
    if (waited) waited_ -= images;
    metrics_.AddInflightImages(-images);
    while (!waiting_.empty() && HasRoomForWaiting()) {
      admitted.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
      Take(1);
      ++waited_;
    }
  }
  for (auto& call : admitted) call(Permit(this, 1, /*waited=*/true));
}

void Admission::CountRelease(int images) {
  const absl::Time now = clock_.Now();
  const double seconds = absl::ToDoubleSeconds(now - counted_until_);
  const double kept = std::exp(-seconds / kFadingSeconds);
  released_images_ = released_images_ * kept + images;
  released_seconds_ = released_seconds_ * kept + seconds;
  counted_until_ = now;
}

absl::Duration Admission::RetryAfter(int images_over) const {
  if (released_images_ == 0.0) return kRetryWithoutHistory;
  // The time since the last release counts as well: a stalled engine gives longer and longer hints.
  const double seconds = released_seconds_ + absl::ToDoubleSeconds(clock_.Now() - counted_until_);
  const absl::Duration estimate = absl::Seconds(images_over * seconds / released_images_);
  // Whole milliseconds, as the pushback trailer carries them.
  return std::clamp(absl::Ceil(estimate, absl::Milliseconds(1)), kShortestRetry, kLongestRetry);
}

}  // namespace tome
