#ifndef TOME_SERVER_CUDA_ARENA_H_
#define TOME_SERVER_CUDA_ARENA_H_

#include <cstddef>

namespace tome::cuda {

// Hands out pieces of one allocation, one after the other. Over no memory it only adds up, so that
// the same code that lays an arena out tells beforehand how large it must be.
class Arena {
 public:
  // cuBLASLt's kernels read fastest what starts on 256 bytes, as cudaMalloc's memory does.
  static constexpr size_t kAlignment = 256;

  // `memory` on kAlignment bytes, or null to measure.
  explicit Arena(std::byte* memory) : memory_(memory) {}

  std::byte* TakeBytes(size_t bytes) {
    std::byte* piece = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return piece;
  }

  template <typename T>
  T* Take(size_t elements) {
    return reinterpret_cast<T*>(TakeBytes(elements * sizeof(T)));
  }

  size_t used() const { return used_; }

 private:
  std::byte* memory_;
  size_t used_ = 0;
};

}  // namespace tome::cuda

#endif  // TOME_SERVER_CUDA_ARENA_H_
