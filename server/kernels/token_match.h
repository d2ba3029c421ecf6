#ifndef TOME_SERVER_KERNELS_TOKEN_MATCH_H_
#define TOME_SERVER_KERNELS_TOKEN_MATCH_H_

#include <cuda_runtime_api.h>

#include <cstddef>

#include "server/kernels/element_type.h"
#include "server/merge/merge_plan.h"

namespace tome::kernels {

// Which tokens of each image merge in one block (ToMe, section 3, "bipartite soft matching"), as
// lists that MergeTokens and ComposeMap follow.
//
// metric[i] = mean of token i's keys over the heads, L2-normalised (a zero vector stays zero).
// Tokens at even positions, prefix counted, are set A, those at odd positions set B; prefix tokens
// are in neither. Each A's best B is the one of the highest metric[a] metric[b], the lowest index
// among equals; the segment's `merges` A tokens of the highest best score, again the lowest index
// among equals, merge into their best B. A NaN score counts as minus infinity. The new order of an
// image's rows is: prefix tokens, the A that stay, B. All of it is float32.
struct TokenMatchArgs {
  ElementType type = ElementType::kFloat32;
  const void* keys = nullptr;  // T, rows of heads * head_size
  int key_stride = 0;          // elements from one row to the next
  int heads = 0;
  int head_size = 0;
  const Segment* segments = nullptr;        // [images] on the device, as the block finds them
  const Segment* segments_after = nullptr;  // [images] on the device, as it leaves them
  int images = 0;
  int max_tokens = 0;     // of any image, before
  int packed_tokens = 0;  // rows of all images, before: T_in
  int prefix_tokens = 0;
  void* workspace = nullptr;  // TokenMatchWorkspaceBytes, on 16 bytes

  // Row numbers count packed rows: "old" before the merge, "new" after it.
  int* own_row = nullptr;       // [T_out] the old row of each new row
  int* first_source = nullptr;  // [T_out] where its list of sources starts in source_row
  int* source_count = nullptr;  // [T_out] how many sources it receives
  int* source_row = nullptr;    // [T_in] old rows of the sources, ascending within a list; an
                                // image's lists start at its old offset, what follows them is
                                // left alone
  int* row_after = nullptr;     // [T_in] the new row of each old row
};

size_t TokenMatchWorkspaceBytes(int packed_tokens, int head_size);

// REQUIRES: head_size a multiple of 8, at most 128; key_stride a multiple of 8; every segment's
// merges at most half of its unprotected tokens (MergePlan's cap). What the host can see of that
// otherwise gives cudaErrorInvalidValue.
cudaError_t MatchTokens(const TokenMatchArgs& args, cudaStream_t stream);

}  // namespace tome::kernels

#endif  // TOME_SERVER_KERNELS_TOKEN_MATCH_H_
