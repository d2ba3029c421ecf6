#include "server/merge/merge_schedule.h"

namespace tome {
namespace {

std::vector<int> Expand(const MergeSchedule::Constant& constant, int blocks) {
  return std::vector<int>(blocks, constant.r);
}

std::vector<int> Expand(const MergeSchedule::Linear& linear, int blocks) {
  if (blocks == 1) return {linear.mean_r};
  const int lowest = static_cast<int>(linear.mean_r * (1.0 - linear.inflection));
  const double step = (2.0 * linear.mean_r - 2.0 * lowest) / (blocks - 1);
  std::vector<int> merges(blocks);
  for (int block = 0; block < blocks; ++block) {
    merges[block] = static_cast<int>(lowest + step * block);
  }
  return merges;
}

std::vector<int> Expand(const MergeSchedule::PerBlock& per_block, int blocks) {
  std::vector<int> merges = per_block.r;
  merges.resize(blocks, 0);
  return merges;
}

}  // namespace

std::vector<int> MergeSchedule::PerBlockMerges(int blocks) const {
  return std::visit([&](const auto& kind) { return Expand(kind, blocks); }, kind_);
}

}  // namespace tome
