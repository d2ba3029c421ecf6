// Stands in for server/kernels/cpu/token_match.cc in tome_cpu_drop_bench: the block's r tokens are
// chosen at random, and dropped instead of merged. What a pass then takes is what it would take if
// choosing and merging were free.

#include <algorithm>
#include <random>

#include "server/kernels/cpu/token_match.h"

namespace tome::kernels::cpu {

size_t TokenMatchScratchBytes(int, int, int) { return 0; }

void MatchTokens(const TokenMatchArgs& args, const Compute&) {
  static std::minstd_rand random(1);
  for (size_t image = 0; image < args.segments.size(); ++image) {
    const Segment& before = args.segments[image];
    int next = args.segments_after[image].offset;
    int to_drop = before.merges;
    for (int row = 0; row < before.tokens; ++row) {
      const int left = before.tokens - std::max(row, args.prefix_tokens);
      const int packed_row = before.offset + row;
      args.row_after[packed_row] = next;
      // Each unprotected row is dropped with the same chance (Knuth's selection sampling).
      if (row >= args.prefix_tokens && static_cast<int>(random() % left) < to_drop) {
        --to_drop;
        continue;
      }
      args.own_row[next] = packed_row;
      args.first_source[next] = before.offset;
      args.source_count[next] = 0;
      ++next;
    }
  }
}

}  // namespace tome::kernels::cpu
