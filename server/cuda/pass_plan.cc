#include "server/cuda/pass_plan.h"

#include <array>

namespace tome::cuda {
namespace {

// Those that the output projection follows stand together, in front.
constexpr std::array<Pooling, 4> kPoolingOrder = {Pooling::kClassToken, Pooling::kMeanOfClassTokens,
                                                  Pooling::kAttention, Pooling::kMeanOfPatches};

// The first rows of an image that `pooling` reads; 0: all.
int PooledRows(Pooling pooling) {
  switch (pooling) {
    case Pooling::kClassToken:
      return 1;
    case Pooling::kMeanOfClassTokens:
      return 2;
    case Pooling::kMeanOfPatches:
    case Pooling::kAttention:
      break;
  }
  return 0;
}

}  // namespace

PassPlan::PassPlan(const Model& model, const Batch& batch)
    : blocks_(model.blocks),
      images_(batch.images),
      want_tokens_(batch.want_tokens),
      want_merge_map_(batch.want_merge_map) {
  for (const Pooling pooling : kPoolingOrder) {
    PoolingGroup group{.pooling = pooling, .first = static_cast<int>(pooling_order_.size())};
    for (int image = 0; image < images_; ++image) {
      if (batch.pooling[image] != pooling) continue;
      pooling_order_.push_back(image);
      ++group.images;
    }
    if (group.images > 0) groups_.push_back(group);
  }
  const bool all_pool_first_rows = std::ranges::all_of(
      groups_, [](const PoolingGroup& group) { return PooledRows(group.pooling) > 0; });
  if (all_pool_first_rows && !want_tokens_ && !want_merge_map_) {
    for (const PoolingGroup& group : groups_) {
      pooled_rows_ = std::max(pooled_rows_, PooledRows(group.pooling));
    }
  }

  upload_.assign(batch.segments, batch.segments + (ptrdiff_t{blocks_} + 1) * images_);
  upload_.reserve(upload_.size() + 3 * static_cast<size_t>(images_));
  for (const int image : pooling_order_) upload_.push_back(upload_[BlockOffset(blocks_) + image]);
  for (const int image : pooling_order_) {
    upload_.push_back({.offset = image * pooled_rows_, .tokens = pooled_rows_});
  }
  for (int row = 0; row < images_; ++row) upload_.push_back({.offset = row, .tokens = 1});
}

bool PassPlan::AnyMerges() const {
  for (int block = 0; block < blocks_; ++block) {
    if (AnyMerges(block)) return true;
  }
  return false;
}

std::vector<int32_t> PassPlan::Key() const {
  std::vector<int32_t> key = {images_, want_tokens_ ? 1 : 0, want_merge_map_ ? 1 : 0};
  for (const PoolingGroup& group : groups_) {
    key.push_back(static_cast<int32_t>(group.pooling));
    key.push_back(group.images);
  }
  // Every image has the model's tokens at first, so merges say all.
  for (const Segment& segment : upload_) key.push_back(segment.merges);
  return key;
}

}  // namespace tome::cuda
