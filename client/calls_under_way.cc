#include "client/calls_under_way.h"

#include <vector>

namespace tome::client {

bool CallsUnderWay::Add(const std::shared_ptr<PendingCall>& call) {
  std::lock_guard lock(mu_);
  if (closed_) return false;
  calls_.insert(call);
  return true;
}

void CallsUnderWay::Remove(const std::shared_ptr<PendingCall>& call) {
  std::lock_guard lock(mu_);
  calls_.erase(call);
  // Under the lock: whoever waits may destroy this object as soon as it sees that none is left.
  if (calls_.empty()) none_.notify_all();
}

void CallsUnderWay::CancelAll() {
  std::vector<std::shared_ptr<PendingCall>> calls;
  {
    std::lock_guard lock(mu_);
    closed_ = true;
    calls.assign(calls_.begin(), calls_.end());
  }
  for (const std::shared_ptr<PendingCall>& call : calls) call->Cancel();
}

void CallsUnderWay::WaitUntilNone() {
  std::unique_lock lock(mu_);
  none_.wait(lock, [this] { return calls_.empty(); });
}

}  // namespace tome::client
