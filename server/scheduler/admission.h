#ifndef TOME_SERVER_SCHEDULER_ADMISSION_H_
#define TOME_SERVER_SCHEDULER_ADMISSION_H_

#include <deque>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/metrics/metrics.h"

namespace tome {

class Admission;

// The right to have some images in the server, from arrival to answer. Movable; given back when
// destroyed.
class Permit {
 public:
  Permit() = default;
  Permit(Permit&& other) noexcept;
  Permit& operator=(Permit&& other) noexcept;
  ~Permit();

  // Part of this permit as one of its own. REQUIRES: 0 <= images <= those of this permit.
  Permit Split(int images);

 private:
  friend class Admission;
  Permit(Admission* admission, int images, bool waited)
      : admission_(admission), images_(images), waited_(waited) {}

  Admission* admission_ = nullptr;
  int images_ = 0;
  bool waited_ = false;  // of AdmitWhenFree
};

// Bounded admission: a request holds a permit from arrival to answer, so overload is refused before
// it costs a decode. Thread-safe. Destroy every Permit before its Admission.
class Admission {
 public:
  // `max_images`: admitted at once, decoding, queued and computing ones included. REQUIRES: > 0.
  Admission(int max_images, Clock& clock, Metrics& metrics);

  // A permit for `images`, or RESOURCE_EXHAUSTED with the time after which one should be free, from
  // the rate at which permits came back lately. INVALID_ARGUMENT if `images` could never be
  // admitted. Never blocks. REQUIRES: images > 0.
  absl::StatusOr<Permit> Admit(int images) ABSL_LOCKS_EXCLUDED(mu_);

  // A permit for one image as soon as there is a place, for a caller whose own caller can be slowed
  // down: at once, or later on the thread that gives one back, in the order of the calls. These
  // permits never take more than three quarters of the places: those who would be refused find the
  // rest. `admitted` is called exactly once and may not give back a permit itself.
  void AdmitWhenFree(absl::AnyInvocable<void(Permit)> admitted) ABSL_LOCKS_EXCLUDED(mu_);

  int max_images() const { return max_images_; }

 private:
  friend class Permit;
  void Take(int images) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool HasRoomForWaiting() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Release(int images, bool waited) ABSL_LOCKS_EXCLUDED(mu_);
  void CountRelease(int images) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // When `images_over` images more than now will have been given back, as far as one can tell.
  absl::Duration RetryAfter(int images_over) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Constant after construction.
  const int max_images_;
  const int max_waited_images_;
  Clock& clock_;
  Metrics& metrics_;

  mutable Mutex mu_;
  int admitted_ ABSL_GUARDED_BY(mu_) = 0;
  int waited_ ABSL_GUARDED_BY(mu_) = 0;  // of admitted_, those of AdmitWhenFree
  std::deque<absl::AnyInvocable<void(Permit)>> waiting_ ABSL_GUARDED_BY(mu_);
  // Images given back and the seconds that took, both fading with their age, so that their quotient
  // is the rate of late. Only time in which something was admitted counts: an idle server is not a
  // slow one.
  double released_images_ ABSL_GUARDED_BY(mu_) = 0.0;
  double released_seconds_ ABSL_GUARDED_BY(mu_) = 0.0;
  // Up to when released_seconds_ counts: the last release, or the end of the idle time after it.
  absl::Time counted_until_ ABSL_GUARDED_BY(mu_);
};

}  // namespace tome

#endif  // TOME_SERVER_SCHEDULER_ADMISSION_H_
