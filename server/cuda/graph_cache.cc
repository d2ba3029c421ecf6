#include "server/cuda/graph_cache.h"

#include <utility>

#include "server/cuda/failure.h"

namespace tome::cuda {
namespace {

// Keys are small beside graphs.
constexpr size_t kSeenPerGraph = 8;

}  // namespace

cudaGraphExec_t GraphCache::Find(const GraphKey& key) {
  const auto found = graphs_.find(key);
  if (found == graphs_.end()) return nullptr;
  used_.splice(used_.begin(), used_, found->second.used);
  return found->second.graph.get();
}

bool GraphCache::ComesAgain(const GraphKey& key) {
  if (capacity_ == 0) return false;
  if (seen_.contains(key)) return true;
  seen_order_.push_front(key);
  seen_[key] = seen_order_.begin();
  if (seen_order_.size() > kSeenPerGraph * capacity_) {
    seen_.erase(seen_order_.back());
    seen_order_.pop_back();
  }
  return false;
}

GraphExec GraphCache::Add(const GraphKey& key, GraphExec graph) {
  if (const auto noted = seen_.find(key); noted != seen_.end()) {
    seen_order_.erase(noted->second);
    seen_.erase(noted);
  }
  used_.push_front(key);
  graphs_[key] = {.graph = std::move(graph), .used = used_.begin()};
  if (graphs_.size() <= capacity_) return nullptr;
  GraphExec let_go = std::move(graphs_.at(used_.back()).graph);
  graphs_.erase(used_.back());
  used_.pop_back();
  return let_go;
}

GraphCapture::GraphCapture(cudaStream_t stream) : stream_(stream) {
  // Other threads go on with their copies meanwhile.
  Check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "recording a graph");
}

GraphCapture::~GraphCapture() {
  if (!recording_) return;
  cudaGraph_t dropped = nullptr;
  static_cast<void>(cudaStreamEndCapture(stream_, &dropped));
  if (dropped != nullptr) static_cast<void>(cudaGraphDestroy(dropped));
}

GraphExec GraphCapture::Finish() {
  recording_ = false;
  cudaGraph_t recorded = nullptr;
  Check(cudaStreamEndCapture(stream_, &recorded), "recording a graph");
  const Graph graph(recorded);
  cudaGraphExec_t executable = nullptr;
  Check(cudaGraphInstantiate(&executable, graph.get(), 0), "building a graph");
  return GraphExec(executable);
}

}  // namespace tome::cuda
