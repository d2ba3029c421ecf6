#ifndef TOME_SERVER_CUDA_SESSION_H_
#define TOME_SERVER_CUDA_SESSION_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "server/cuda/activations.h"
#include "server/cuda/graph_cache.h"
#include "server/cuda/handles.h"
#include "server/cuda/linear.h"
#include "server/cuda/module.h"
#include "server/cuda/pass.h"
#include "server/cuda/pass_plan.h"
#include "server/cuda/weights.h"

namespace tome::cuda {

// A model on a device, with all the memory it will ever use. A run takes a set of staging buffers,
// copies its pixels in on a stream of their own, and lines its pass up behind the one in progress;
// so the copies of one run overlap the pass of another. Throws Failure.
struct Session {
 public:
  // Throws kInvalidArgument naming what of the model or the options is not supported.
  static Memory MemoryOf(const Model& model, const Options& options);

  Session(const Model& model, const WeightSource& source, const Options& options);

  // Thread-safe. `steps`, if not null, gets the time of every step; such a run is no graph.
  void Run(const Batch& batch, const Results& results, std::vector<Step>* steps);

  Statistics statistics() const;
  const std::string& description() const { return description_; }

 private:
  // One run's buffers. Its pinned memory is what the device reads and writes.
  struct Staging {
    PinnedMemory pixels;     // uint8 [images, height, width, 3]
    PinnedMemory plan;       // PassPlan's upload
    PinnedMemory pooled;     // float32 [images, D], in pooling order
    PinnedMemory projected;  // float32 [images, projection_dim], likewise
    uint8_t* device_pixels = nullptr;
    Event copy_begin, copy_end, pass_begin, pass_end;
    GraphExec let_go;  // not to be destroyed before the pass is over
    bool taken = false;
  };
  class StagingLease;

  void CheckBatch(const Batch& batch) const;
  void CopyIn(const Batch& batch, Staging& staging);
  void Enqueue(const PassPlan& plan, const Results& results, Staging& staging,
               std::vector<Step>* steps);
  void RunPass(const PassPlan& plan, StepTimer& timer, bool may_replay, Staging& staging);
  void CopyTokensAndMap(const PassPlan& plan, const Results& results);
  void TakeEmbeddings(const PassPlan& plan, const Staging& staging, const Results& results) const;
  void Count(Staging& staging);

  // Constant after construction. Each part outlives those below it.
  const int device_;
  const int max_images_;
  const Model model_;
  const size_t image_bytes_;  // as the kernels read it: whole patches only
  const kernels::ElementType type_;
  Stream copy_stream_;
  Stream compute_stream_;
  LinearAlgorithms algorithms_;
  Weights weights_;
  DeviceMemory arena_memory_;
  DeviceMemory pixels_memory_;
  Activations activations_;
  Pass pass_;
  PinnedMemory own_rows_;  // int [first tokens] 0, 1, 2, ..: where a merge map begins
  std::string description_;

  // Held while a pass is lined up: the order of everything on compute_stream_.
  std::mutex compute_mutex_;
  GraphCache graphs_;  // guarded by compute_mutex_

  mutable std::mutex mutex_;
  std::condition_variable staging_is_free_;
  std::vector<Staging> staging_;  // guarded by mutex_, but for what a run has taken
  Statistics statistics_;         // guarded by mutex_
};

}  // namespace tome::cuda

#endif  // TOME_SERVER_CUDA_SESSION_H_
