#ifndef TOME_SERVER_MERGE_MERGE_PLAN_H_
#define TOME_SERVER_MERGE_MERGE_PLAN_H_

#include <span>
#include <vector>

namespace tome {

// One image's part of the packed [T, D] tokens, as a block finds it, and what the block merges of
// it.
struct Segment {
  int offset = 0;  // the image's first row
  int tokens = 0;  // its rows, prefix tokens included
  int merges = 0;  // pairs merged between attention and MLP of this block (r after the cap)

  friend bool operator==(const Segment&, const Segment&) = default;
};

// The pairs a block can merge at most among `tokens` tokens: half of the unprotected ones.
int MaxMerges(int tokens, int prefix_tokens);

// Every token count, offset and merge count of a batch, known before the pass starts because each
// image's r is: no block has to ask the tokens what happened (design: packed tokens, any mixture of
// r). Immutable after construction.
class MergePlan {
 public:
  // One image of the batch: its tokens before the first block, prefix included, and the merges
  // asked of each block (MergeSchedule::PerBlockMerges), capped here.
  struct Image {
    int tokens = 0;
    std::vector<int> merges_per_block;
  };

  // REQUIRES: blocks > 0; for each image tokens >= prefix_tokens and one merge count >= 0 a block.
  MergePlan(std::span<const Image> images, int blocks, int prefix_tokens);

  int blocks() const { return blocks_; }
  int images() const { return images_; }
  int prefix_tokens() const { return prefix_tokens_; }

  // The segments that block `block` finds, one an image in the batch's order; `block` == blocks()
  // are the final tokens (merges all 0).
  std::span<const Segment> at(int block) const;

  // Rows of the packed tokens that block `block` finds; `block` == blocks(): the final rows.
  int packed_tokens(int block) const;

  // Whether any image merges in `block`; with false the block leaves the packed rows as they are.
  bool AnyMerges(int block) const;

  // What image `image` merges in each block, after the cap.
  std::vector<int> MergedPerBlock(int image) const;

 private:
  int blocks_;
  int images_;
  int prefix_tokens_;
  std::vector<Segment> segments_;  // [blocks + 1, images]
};

}  // namespace tome

#endif  // TOME_SERVER_MERGE_MERGE_PLAN_H_
