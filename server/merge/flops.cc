#include "server/merge/flops.h"

namespace tome {

double BlockFlops(const BlockShape& shape, int tokens, std::span<const int> merged_per_block) {
  const double dim = shape.token_dim;
  const double hidden = shape.mlp_hidden_dim;
  double multiply_adds = 0.0;
  double n = tokens;
  for (const int merged : merged_per_block) {
    multiply_adds += 4.0 * dim * dim * n + 2.0 * n * n * dim;
    n -= merged;
    multiply_adds += (shape.gated_mlp ? 3.0 : 2.0) * dim * hidden * n;
  }
  return 2.0 * multiply_adds;
}

}  // namespace tome
