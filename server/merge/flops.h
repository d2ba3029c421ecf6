#ifndef TOME_SERVER_MERGE_FLOPS_H_
#define TOME_SERVER_MERGE_FLOPS_H_

#include <span>

namespace tome {

// The sizes of a ViT's blocks that decide its cost.
struct BlockShape {
  int token_dim = 0;       // D
  int mlp_hidden_dim = 0;  // usually 4 D
  bool gated_mlp = false;  // SwiGLU: a gate of the hidden width beside it
};

// Floating-point operations of one image's pass through the blocks, 2 a multiply-add: QKV, both
// attention products and the output projection on the tokens a block finds, the MLP on those that
// are left after its merges. Patch embedding and head, under 1% together, are not counted.
//   tokens            before the first block, prefix included
//   merged_per_block  after the cap, one a block
double BlockFlops(const BlockShape& shape, int tokens, std::span<const int> merged_per_block);

}  // namespace tome

#endif  // TOME_SERVER_MERGE_FLOPS_H_
