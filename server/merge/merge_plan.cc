#include "server/merge/merge_plan.h"

#include <algorithm>

namespace tome {

int MaxMerges(int tokens, int prefix_tokens) { return (tokens - prefix_tokens) / 2; }

MergePlan::MergePlan(std::span<const Image> images, int blocks, int prefix_tokens)
    : blocks_(blocks), images_(static_cast<int>(images.size())), prefix_tokens_(prefix_tokens) {
  segments_.reserve(static_cast<size_t>(blocks + 1) * images.size());
  int offset = 0;
  for (const Image& image : images) {
    segments_.push_back({.offset = offset, .tokens = image.tokens});
    offset += image.tokens;
  }
  for (int block = 0; block < blocks; ++block) {
    offset = 0;
    for (int i = 0; i < images_; ++i) {
      Segment& before = segments_[static_cast<size_t>(block) * images_ + i];
      before.merges =
          std::min(images[i].merges_per_block[block], MaxMerges(before.tokens, prefix_tokens));
      const int tokens = before.tokens - before.merges;
      segments_.push_back({.offset = offset, .tokens = tokens});
      offset += tokens;
    }
  }
}

std::span<const Segment> MergePlan::at(int block) const {
  return std::span(segments_).subspan(static_cast<size_t>(block) * images_, images_);
}

int MergePlan::packed_tokens(int block) const {
  if (images_ == 0) return 0;
  const Segment& last = at(block).back();
  return last.offset + last.tokens;
}

bool MergePlan::AnyMerges(int block) const {
  return std::ranges::any_of(at(block), [](const Segment& segment) { return segment.merges > 0; });
}

std::vector<int> MergePlan::MergedPerBlock(int image) const {
  std::vector<int> merged(blocks_);
  for (int block = 0; block < blocks_; ++block) merged[block] = at(block)[image].merges;
  return merged;
}

}  // namespace tome
