#ifndef TOME_CLIENT_CALLS_UNDER_WAY_H_
#define TOME_CLIENT_CALLS_UNDER_WAY_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <unordered_set>

namespace tome::client {

// A call that has not called back yet.
class PendingCall {
 public:
  virtual ~PendingCall() = default;
  // Makes it end CANCELLED soon, unless it ends by itself first. Thread-safe.
  virtual void Cancel() = 0;
};

// The calls of one client, so that they can be cancelled and waited for. Thread-safe.
class CallsUnderWay {
 public:
  // Keeps the call alive until Remove. False after CancelAll: the call must not start.
  bool Add(const std::shared_ptr<PendingCall>& call);
  void Remove(const std::shared_ptr<PendingCall>& call);

  // Cancels those there are, and admits none from now on.
  void CancelAll();

  void WaitUntilNone();

 private:
  std::mutex mu_;
  std::condition_variable none_;
  // Guarded by mu_.
  bool closed_ = false;
  std::unordered_set<std::shared_ptr<PendingCall>> calls_;
};

}  // namespace tome::client

#endif  // TOME_CLIENT_CALLS_UNDER_WAY_H_
