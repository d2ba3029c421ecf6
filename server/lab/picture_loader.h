#ifndef TOME_SERVER_LAB_PICTURE_LOADER_H_
#define TOME_SERVER_LAB_PICTURE_LOADER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/base/preprocessing.h"
#include "server/base/thread_pool.h"
#include "server/lab/picture_folder.h"

namespace tome {

// `spec` at more pixels, the same part of the picture: what augmentation crops and turns before the
// model's size is reached. A spec that does not resize stays as it is.
Preprocessing Enlarged(const Preprocessing& spec, double factor);

// A folder's pictures as uint8 pixels of one size, decoded by a pool of threads. Each is decoded
// once at the start, which finds the unreadable ones; those that fit the memory given stay there,
// the others are decoded again whenever they are wanted. Calls come from one thread.
class PictureLoader {
 public:
  // What may be kept in memory, and how many threads decode.
  struct Limits {
    int64_t memory_bytes = int64_t{4} << 30;
    int threads = 1;
  };

  // Unreadable pictures are left out and reported by unreadable(). INVALID_ARGUMENT where none is
  // left.
  static absl::StatusOr<std::unique_ptr<PictureLoader>> Create(PictureFolder folder,
                                                               const Preprocessing& spec,
                                                               const Limits& limits);

  int64_t size() const { return static_cast<int64_t>(pictures_.size()); }
  int labels() const { return static_cast<int>(label_names_.size()); }
  int label(int64_t picture) const { return pictures_[picture].file.label; }
  int64_t in_memory() const { return in_memory_; }
  // One line a picture: its path, and why.
  const std::vector<std::string>& unreadable() const { return unreadable_; }

  // Begins to gather these pictures, in this order; the memory they come in is the future's.
  // [pictures, height, width, 3] uint8, or the error of one that has become unreadable.
  std::future<absl::StatusOr<at::Tensor>> Load(std::vector<int64_t> pictures);

 private:
  struct Picture {
    PictureFile file;
    std::vector<uint8_t> pixels;  // empty: not kept
  };

  PictureLoader(const Preprocessing& spec, int threads);

  // Constant after Create.
  Preprocessing spec_;
  std::vector<Picture> pictures_;
  std::vector<std::string> label_names_;
  int64_t in_memory_ = 0;
  std::vector<std::string> unreadable_;

  ThreadPool pool_;  // destroyed first: its tasks read the members above
};

}  // namespace tome

#endif  // TOME_SERVER_LAB_PICTURE_LOADER_H_
