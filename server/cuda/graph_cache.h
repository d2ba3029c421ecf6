#ifndef TOME_SERVER_CUDA_GRAPH_CACHE_H_
#define TOME_SERVER_CUDA_GRAPH_CACHE_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <vector>

#include "server/cuda/handles.h"

namespace tome::cuda {

// All that decides which kernels a pass launches, and with what: a plan and what is wanted of it.
using GraphKey = std::vector<int32_t>;

// The passes that recur, as graphs: of the latest `capacity` of them. A pass is worth one when it
// comes a second time within a multiple of that many others. Not thread-safe.
class GraphCache {
 public:
  explicit GraphCache(size_t capacity) : capacity_(capacity) {}

  // The key's graph, or null.
  cudaGraphExec_t Find(const GraphKey& key);

  // Whether the key, which has no graph, was noted here before. Notes it.
  bool ComesAgain(const GraphKey& key);

  // Keeps the graph. If there are too many, returns the one that was found longest ago: the device
  // may still run it.
  GraphExec Add(const GraphKey& key, GraphExec graph);

  size_t size() const { return graphs_.size(); }

 private:
  struct Entry {
    GraphExec graph;
    std::list<GraphKey>::iterator used;
  };

  const size_t capacity_;
  std::map<GraphKey, Entry> graphs_;
  std::list<GraphKey> used_;  // the latest first
  std::map<GraphKey, std::list<GraphKey>::iterator> seen_;
  std::list<GraphKey> seen_order_;  // the latest first
};

// Records what is enqueued on `stream` while it lives, instead of running it.
class GraphCapture {
 public:
  explicit GraphCapture(cudaStream_t stream);
  // Drops what was recorded unless Finish was called.
  ~GraphCapture();
  GraphCapture(const GraphCapture&) = delete;
  GraphCapture& operator=(const GraphCapture&) = delete;

  GraphExec Finish();

 private:
  cudaStream_t stream_;
  bool recording_ = true;
};

}  // namespace tome::cuda

#endif  // TOME_SERVER_CUDA_GRAPH_CACHE_H_
