#include "server/cuda/step_timer.h"

#include <cstdio>

#include "server/cuda/failure.h"

namespace tome::cuda {

StepTimer StepTimer::On(cudaStream_t stream) {
  StepTimer timer;
  timer.on_ = true;
  timer.Step("start", stream);
  return timer;
}

void StepTimer::Step(const char* name, cudaStream_t stream) {
  if (!on_) return;
  Event event = MakeEvent();
  Check(cudaEventRecord(event.get(), stream), name);
  marks_.push_back({.name = name, .event = std::move(event)});
}

std::vector<cuda::Step> StepTimer::Steps() const {
  std::vector<cuda::Step> steps;
  for (size_t i = 1; i < marks_.size(); ++i) {
    float milliseconds = 0;
    Check(cudaEventElapsedTime(&milliseconds, marks_[i - 1].event.get(), marks_[i].event.get()),
          "reading a step's time");
    cuda::Step& step = steps.emplace_back();
    std::snprintf(step.name, sizeof(step.name), "%s", marks_[i].name);
    step.seconds = milliseconds / 1000;
  }
  return steps;
}

}  // namespace tome::cuda
