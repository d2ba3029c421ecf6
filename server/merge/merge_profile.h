#ifndef TOME_SERVER_MERGE_MERGE_PROFILE_H_
#define TOME_SERVER_MERGE_MERGE_PROFILE_H_

#include <optional>
#include <string>
#include <vector>

namespace tome {

// What merging costs a model's embeddings, as `tome calibrate` measured it on somebody's images,
// for some constant r in ascending order, the first of them 0. Plain data.
struct MergeProfile {
  struct Step {
    int r = 0;
    double fidelity = 1.0;      // mean cosine to the embedding at r = 0
    double fidelity_p5 = 1.0;   // its 5th percentile
    double recall_at_10 = 1.0;  // of the ten nearest neighbours at r = 0, how many are so at r
    double flop_ratio = 1.0;    // FLOPs at r = 0 by those at r
  };

  std::vector<Step> steps;
  int images = 0;
  std::string date;  // YYYY-MM-DD

  // Expected cosine to the embedding at r = 0: that of the step, or between two steps on the line
  // that joins them. Nothing for an r beyond the last.
  std::optional<double> FidelityAt(int r) const;
};

}  // namespace tome

#endif  // TOME_SERVER_MERGE_MERGE_PROFILE_H_
