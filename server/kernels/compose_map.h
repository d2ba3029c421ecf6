#ifndef TOME_SERVER_KERNELS_COMPOSE_MAP_H_
#define TOME_SERVER_KERNELS_COMPOSE_MAP_H_

#include <cuda_runtime_api.h>

namespace tome::kernels {

// Follows the first block's tokens through one more block's merges: group[i] = row_after[group[i]].
struct ComposeMapArgs {
  int* group = nullptr;            // [tokens] packed row that each token has become part of
  const int* row_after = nullptr;  // MatchTokens' list
  int tokens = 0;                  // packed rows before the first block
};

cudaError_t ComposeMap(const ComposeMapArgs& args, cudaStream_t stream);

}  // namespace tome::kernels

#endif  // TOME_SERVER_KERNELS_COMPOSE_MAP_H_
