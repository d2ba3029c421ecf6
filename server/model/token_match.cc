#include "server/model/token_match.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tome {
namespace {

float Comparable(float score) {
  return std::isnan(score) ? -std::numeric_limits<float>::infinity() : score;
}

}  // namespace

TokenMatch SelectMatch(std::span<const float> scores, int tokens, int prefix_tokens, int merges) {
  const int rows_a = RowsOfA(tokens);
  const int rows_b = RowsOfB(tokens);
  // Of the prefix, at the front, the even positions are in A and the odd ones in B.
  const int prefix_a = RowsOfA(prefix_tokens);
  const int prefix_b = RowsOfB(prefix_tokens);

  std::vector<int> best_b(rows_a, prefix_b);
  std::vector<float> best_score(rows_a, -std::numeric_limits<float>::infinity());
  for (int a = prefix_a; a < rows_a; ++a) {
    for (int b = prefix_b; b < rows_b; ++b) {
      const float score = Comparable(scores[static_cast<size_t>(a) * rows_b + b]);
      if (score > best_score[a]) {
        best_score[a] = score;
        best_b[a] = b;
      }
    }
  }

  std::vector<int> by_score;
  for (int a = prefix_a; a < rows_a; ++a) by_score.push_back(a);
  std::ranges::stable_sort(by_score, [&](int a, int b) { return best_score[a] > best_score[b]; });

  TokenMatch match;
  match.source.assign(by_score.begin(), by_score.begin() + merges);
  for (const int a : match.source) match.destination.push_back(best_b[a]);
  match.kept.assign(by_score.begin() + merges, by_score.end());
  for (int a = 0; a < prefix_a; ++a) match.kept.push_back(a);
  std::ranges::sort(match.kept);
  return match;
}

std::vector<int> RowsAfterMerge(const TokenMatch& match, int tokens, int prefix_tokens) {
  std::vector<int> row_after(tokens, -1);
  int next = 0;
  for (int row = 0; row < prefix_tokens; ++row) row_after[row] = next++;
  for (const int a : match.kept) {
    if (2 * a >= prefix_tokens) row_after[2 * a] = next++;
  }
  for (int row = 1; row < tokens; row += 2) {
    if (row >= prefix_tokens) row_after[row] = next++;
  }
  for (size_t i = 0; i < match.source.size(); ++i) {
    row_after[2 * match.source[i]] = row_after[2 * match.destination[i] + 1];
  }
  return row_after;
}

}  // namespace tome
