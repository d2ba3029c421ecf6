#ifndef TOME_SERVER_KERNELS_CPU_TOKEN_MATCH_H_
#define TOME_SERVER_KERNELS_CPU_TOKEN_MATCH_H_

#include <cstddef>
#include <span>

#include "server/kernels/cpu/parallel_for.h"
#include "server/kernels/element_type.h"
#include "server/merge/merge_plan.h"

namespace tome::kernels::cpu {

// Which tokens of each image merge in one block (ToMe, section 3, "bipartite soft matching"), as
// lists that MergeTokens follows.
//
// metric[i] = mean of token i's keys over the heads, L2-normalised (a zero vector stays zero).
// Tokens at even positions, prefix counted, are set A, those at odd positions set B; prefix tokens
// are in neither. Each A's best B is the one of the highest metric[a] metric[b], the lowest index
// among equals; the segment's `merges` A tokens of the highest best score, again the lowest index
// among equals, merge into their best B. A NaN score counts as minus infinity. The new order of an
// image's rows is: prefix tokens, the A that stay, B; an image that merges nothing keeps its own.
// All of it is float32; no image depends on another.
struct TokenMatchArgs {
  ElementType type = ElementType::kFloat32;  // T: float32 or bfloat16
  const void* keys = nullptr;                // T, rows of heads * head_size
  int key_stride = 0;                        // elements from one row to the next
  int heads = 0;
  int head_size = 0;
  std::span<const Segment> segments;        // [images], as the block finds them
  std::span<const Segment> segments_after;  // [images], as it leaves them
  int prefix_tokens = 0;
  void* scratch = nullptr;  // TokenMatchScratchBytes, on 64 bytes

  // Row numbers count packed rows: "old" before the merge, "new" after it.
  int* own_row = nullptr;       // [T_out] the old row of each new row
  int* first_source = nullptr;  // [T_out] where its list of sources starts in source_row
  int* source_count = nullptr;  // [T_out] how many sources it receives
  int* source_row = nullptr;    // [T_in] old rows of the sources, ascending within a list; what no
                                // list covers is left alone
  int* row_after = nullptr;     // [T_in] the new row of each old row
};

size_t TokenMatchScratchBytes(int images, int packed_tokens, int head_size);

// REQUIRES: every segment's merges at most half of its unprotected tokens (MergePlan's cap).
void MatchTokens(const TokenMatchArgs& args, const Compute& compute);

}  // namespace tome::kernels::cpu

#endif  // TOME_SERVER_KERNELS_CPU_TOKEN_MATCH_H_
