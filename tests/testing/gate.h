#ifndef TOME_TESTS_TESTING_GATE_H_
#define TOME_TESTS_TESTING_GATE_H_

#include "server/base/mutex.h"

namespace tome {

// Holds threads up until it is opened, and then never again. Thread-safe.
class Gate {
 public:
  void Open() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    open_ = true;
    opened_.NotifyAll();
  }

  void Await() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    while (!open_) opened_.Wait(mu_);
  }

 private:
  Mutex mu_;
  Condition opened_;
  bool open_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace tome

#endif  // TOME_TESTS_TESTING_GATE_H_
