#ifndef TOME_SERVER_BASE_CANCELLATION_H_
#define TOME_SERVER_BASE_CANCELLATION_H_

#include <atomic>
#include <memory>

namespace tome {

// Whether the caller of a request has gone. Copies share one state. Thread-safe.
// Cancelling asks: work that has not started is dropped, work under way may still finish.
class Cancellation {
 public:
  Cancellation() : cancelled_(std::make_shared<std::atomic<bool>>(false)) {}

  void Cancel() { cancelled_->store(true, std::memory_order_release); }
  bool IsCancelled() const { return cancelled_->load(std::memory_order_acquire); }

 private:
  std::shared_ptr<std::atomic<bool>> cancelled_;
};

}  // namespace tome

#endif  // TOME_SERVER_BASE_CANCELLATION_H_
