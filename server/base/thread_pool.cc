#include "server/base/thread_pool.h"

#include <pthread.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace tome {

void SetThreadName(absl::string_view name) {
  constexpr size_t kLongestName = 15;
  pthread_setname_np(pthread_self(), std::string(name.substr(0, kLongestName)).c_str());
}

ThreadPool::ThreadPool(absl::string_view name, int threads) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this, thread_name = absl::StrCat(name, "-", i)] {
      SetThreadName(thread_name);
      RunTasks();
    });
  }
}

ThreadPool::~ThreadPool() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  work_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::Submit(std::function<void()> task) {
  {
    MutexLock lock(mu_);
    tasks_.push_back(std::move(task));
  }
  work_.NotifyOne();
}

void ThreadPool::RunTasks() {
  while (true) {
    std::function<void()> task;
    {
      MutexLock lock(mu_);
      while (tasks_.empty() && !stopping_) work_.Wait(mu_);
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace tome
