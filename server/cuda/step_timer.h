#ifndef TOME_SERVER_CUDA_STEP_TIMER_H_
#define TOME_SERVER_CUDA_STEP_TIMER_H_

#include <cuda_runtime_api.h>

#include <vector>

#include "server/cuda/handles.h"
#include "server/cuda/module.h"

namespace tome::cuda {

// Times the steps of one pass on the device, by an event behind each; switched off it does nothing.
class StepTimer {
 public:
  static StepTimer Off() { return StepTimer(); }
  // Starts now, in stream order.
  static StepTimer On(cudaStream_t stream);

  // `name` ends here. The literal outlives the timer.
  void Step(const char* name, cudaStream_t stream);

  // REQUIRES: the stream has been waited for.
  std::vector<cuda::Step> Steps() const;

 private:
  struct Mark {
    const char* name;
    Event event;
  };

  bool on_ = false;
  std::vector<Mark> marks_;
};

}  // namespace tome::cuda

#endif  // TOME_SERVER_CUDA_STEP_TIMER_H_
