#ifndef TOME_SERVER_SCHEDULER_COMPUTE_TURNS_H_
#define TOME_SERVER_SCHEDULER_COMPUTE_TURNS_H_

#include <cstdint>

#include "server/base/mutex.h"

namespace tome {

// The cores that several engines share: one of them computes at a time, a batch a turn, and turns
// are given in the order in which they were asked for, so that no model waits for more than one
// batch of each other. Thread-safe.
class ComputeTurns {
 public:
  // Holds the turn for its scope.
  class Turn {
   public:
    // Waits for it. `turns` outlives the turn; null is a turn that is shared with nobody.
    explicit Turn(ComputeTurns* turns) : turns_(turns) {
      if (turns_ != nullptr) turns_->Begin();
    }
    ~Turn() {
      if (turns_ != nullptr) turns_->End();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    ComputeTurns* const turns_;
  };

  // Turns held and waited for now.
  int asked_for() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    return static_cast<int>(asked_ - ended_);
  }

 private:
  void Begin() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    const uint64_t mine = asked_++;
    while (ended_ != mine) next_.Wait(mu_);
  }

  void End() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    ++ended_;
    next_.NotifyAll();
  }

  mutable Mutex mu_;
  Condition next_;
  uint64_t asked_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t ended_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace tome

#endif  // TOME_SERVER_SCHEDULER_COMPUTE_TURNS_H_
