#ifndef TOME_SERVER_BASE_THREAD_POOL_H_
#define TOME_SERVER_BASE_THREAD_POOL_H_

#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/string_view.h"

#include "server/base/mutex.h"

namespace tome {

// Names the calling thread as top and gdb show it; Linux keeps the first 15 characters.
void SetThreadName(absl::string_view name);

// A fixed number of named threads that run tasks in the order they came. Thread-safe.
// The queue has no bound of its own: whoever submits holds a permit of the bounded admission.
class ThreadPool {
 public:
  // REQUIRES: threads > 0.
  ThreadPool(absl::string_view name, int threads);
  // Runs what was submitted, then joins.
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Never blocks. REQUIRES: not called after the destructor began, except by a running task.
  void Submit(std::function<void()> task) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void RunTasks() ABSL_LOCKS_EXCLUDED(mu_);

  Mutex mu_;
  Condition work_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace tome

#endif  // TOME_SERVER_BASE_THREAD_POOL_H_
