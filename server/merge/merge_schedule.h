#ifndef TOME_SERVER_MERGE_MERGE_SCHEDULE_H_
#define TOME_SERVER_MERGE_MERGE_SCHEDULE_H_

#include <utility>
#include <variant>
#include <vector>

namespace tome {

// How many token pairs each block is asked to merge: the r of the paper, per block. The cap by the
// tokens that are there (half of the unprotected ones) is MergePlan's, since it depends on the
// image.
class MergeSchedule {
 public:
  // The same r in every block.
  struct Constant {
    int r = 0;
  };
  // Mean r with inflection f in [-1, 1]: from lo = trunc(r (1 - f)) in the first block by steps of
  // (2r - 2 lo) / (blocks - 1), each block's value truncated. f = -1 falls from 2r to 0 (the
  // paper's decreasing schedule), f = 0 is constant, f = 1 rises from 0 to 2r. One block gets r.
  struct Linear {
    int mean_r = 0;
    double inflection = 0.0;
  };
  // As listed; blocks beyond the list merge nothing.
  struct PerBlock {
    std::vector<int> r;
  };

  // The largest r that a request may name. No image has as many tokens.
  static constexpr int kMaxR = 1 << 20;

  static bool IsValidR(long long r) { return r >= 0 && r <= kMaxR; }
  // False for a NaN, too.
  static bool IsValidInflection(double inflection) {
    return inflection >= -1.0 && inflection <= 1.0;
  }

  // No merging: the exact model.
  MergeSchedule() : kind_(Constant{0}) {}
  // REQUIRES: valid values, as the two functions above tell.
  MergeSchedule(Constant constant) : kind_(constant) {}
  MergeSchedule(Linear linear) : kind_(linear) {}
  MergeSchedule(PerBlock per_block) : kind_(std::move(per_block)) {}

  // The r of each of `blocks` blocks, before the cap. REQUIRES: blocks > 0, and for PerBlock at
  // least as many as listed.
  std::vector<int> PerBlockMerges(int blocks) const;

  const std::variant<Constant, Linear, PerBlock>& kind() const { return kind_; }

 private:
  std::variant<Constant, Linear, PerBlock> kind_;
};

}  // namespace tome

#endif  // TOME_SERVER_MERGE_MERGE_SCHEDULE_H_
