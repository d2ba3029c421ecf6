// Compiled with OpenMP: without it at::parallel_for runs on one thread and says nothing.
#include "server/ops/torch_threads.h"

#include <ATen/Parallel.h>

#include <atomic>
#include <cstdint>

namespace tome::ops {

int TorchThreads::workers() const { return at::get_num_threads(); }

void TorchThreads::Run(int tasks, Function function, const void* body) const {
  std::atomic<int> next = 0;
  // On all threads even where there are fewer tasks: libgomp keeps a team of one size ready, and
  // a product inside a task then always finds itself on one thread.
  at::parallel_for(0, workers(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker) {
      for (int task = next++; task < tasks; task = next++) {
        function(body, task, static_cast<int>(worker));
      }
    }
  });
}

}  // namespace tome::ops
