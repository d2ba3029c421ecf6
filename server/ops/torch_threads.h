#ifndef TOME_SERVER_OPS_TORCH_THREADS_H_
#define TOME_SERVER_OPS_TORCH_THREADS_H_

#include "server/kernels/cpu/parallel_for.h"

namespace tome::ops {

// Torch's own pool, which oneDNN's products run on, too: the process has one owner of its compute
// threads. Tasks are handed out one by one, so that long and short ones even out.
class TorchThreads final : public kernels::cpu::ParallelFor {
 public:
  int workers() const override;

 private:
  void Run(int tasks, Function function, const void* body) const override;
};

}  // namespace tome::ops

#endif  // TOME_SERVER_OPS_TORCH_THREADS_H_
