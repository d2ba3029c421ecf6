#ifndef TOME_SERVER_MODEL_TOKEN_MATCH_H_
#define TOME_SERVER_MODEL_TOKEN_MATCH_H_

#include <span>
#include <vector>

namespace tome {

// Which tokens of one image a block merges (ToMe, section 3, "bipartite soft matching"). The
// image's rows at even positions, prefix counted, are set A, those at odd positions set B; rows of
// either set are counted within it.
struct TokenMatch {
  std::vector<int> kept;         // rows of A that stay, prefix tokens included, ascending
  std::vector<int> source;       // rows of A that are merged away, by descending score
  std::vector<int> destination;  // the row of B that each source joins

  friend bool operator==(const TokenMatch&, const TokenMatch&) = default;
};

inline int RowsOfA(int tokens) { return (tokens + 1) / 2; }
inline int RowsOfB(int tokens) { return tokens / 2; }

// Chooses the `merges` pairs. Each A token's best B is the one of the highest score, the lowest
// index among equals; of all A tokens those with the highest best score merge, again the lowest
// index among equals. A NaN counts as minus infinity. Prefix tokens neither merge nor are merged
// into.
//   scores  [RowsOfA, RowsOfB] similarity of each A to each B
// REQUIRES: 0 <= merges <= MaxMerges(tokens, prefix_tokens).
TokenMatch SelectMatch(std::span<const float> scores, int tokens, int prefix_tokens, int merges);

// For each of the image's `tokens` rows, its row after the merge. The new order is: prefix tokens,
// the kept rows of A in order, the rows of B in order.
std::vector<int> RowsAfterMerge(const TokenMatch& match, int tokens, int prefix_tokens);

}  // namespace tome

#endif  // TOME_SERVER_MODEL_TOKEN_MATCH_H_
