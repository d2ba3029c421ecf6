#ifndef TOME_SERVER_CUDA_PASS_PLAN_H_
#define TOME_SERVER_CUDA_PASS_PLAN_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "server/cuda/module.h"
#include "server/merge/merge_plan.h"

namespace tome::cuda {

// Images that are pooled alike; pooling takes the batch's images group by group.
struct PoolingGroup {
  Pooling pooling = Pooling::kClassToken;
  int first = 0;  // of the images in pooling order
  int images = 0;
};

// All that decides what a pass does, from the batch alone: every kernel's offsets, known before it
// starts. What the device needs of it goes up in one copy.
class PassPlan {
 public:
  PassPlan(const Model& model, const Batch& batch);

  int blocks() const { return blocks_; }
  int images() const { return images_; }
  bool want_tokens() const { return want_tokens_; }
  bool want_merge_map() const { return want_merge_map_; }

  // What block `block` finds; at(blocks()): the final tokens.
  std::span<const Segment> at(int block) const {
    return std::span(upload_).subspan(static_cast<size_t>(block) * images_, images_);
  }
  int packed_tokens(int block) const { return at(block).back().offset + at(block).back().tokens; }
  int max_tokens(int block) const {
    return std::ranges::max_element(at(block), {}, &Segment::tokens)->tokens;
  }
  bool AnyMerges(int block) const {
    return std::ranges::any_of(at(block), [](const Segment& image) { return image.merges > 0; });
  }
  bool AnyMerges() const;

  // The batch's images in pooling order.
  const std::vector<PoolingGroup>& groups() const { return groups_; }
  const std::vector<int>& pooling_order() const { return pooling_order_; }

  // An image's first rows that its embedding is made of, if no other rows of the last block are
  // wanted (of any image): then only they go through it. Otherwise 0.
  int pooled_rows() const { return pooled_rows_; }

  // What goes up, [blocks + 4, images] in all:
  //   a block's segments, as at() has them
  //   in pooling order: each image's final rows
  //                     its pooled rows, where these alone came through the last block
  //                     row i, of one row an image
  std::span<const Segment> upload() const { return upload_; }
  static size_t UploadBytes(int blocks, int images) {
    return sizeof(Segment) * (blocks + 4) * images;
  }
  ptrdiff_t BlockOffset(int block) const { return ptrdiff_t{block} * images_; }
  ptrdiff_t FinalRowsOffset() const { return BlockOffset(blocks_ + 1); }
  ptrdiff_t PooledRowsOffset() const { return BlockOffset(blocks_ + 2); }
  ptrdiff_t SingleRowsOffset() const { return BlockOffset(blocks_ + 3); }

  // Equal keys: the same launches with the same arguments.
  std::vector<int32_t> Key() const;

 private:
  int blocks_;
  int images_;
  bool want_tokens_;
  bool want_merge_map_;
  int pooled_rows_ = 0;
  std::vector<PoolingGroup> groups_;
  std::vector<int> pooling_order_;
  std::vector<Segment> upload_;
};

}  // namespace tome::cuda

#endif  // TOME_SERVER_CUDA_PASS_PLAN_H_
