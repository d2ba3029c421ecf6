#include "server/model/merge_tokens.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cstdint>

#include "server/model/precision.h"

namespace tome {
namespace {

// Row numbers of the packed tokens for one block's merge, over all images.
struct MergeRows {
  std::vector<int64_t> unmerged;     // before: each new row's own old row
  std::vector<int64_t> receiver;     // before: B rows that receive, each once, ascending
  std::vector<int64_t> received;     // after: the same tokens' new rows
  std::vector<int64_t> source;       // before: A rows merged away, ascending
  std::vector<int64_t> source_into;  // for each source the place of its B row in `receiver`
};

MergeRows RowsOf(std::span<const Segment> segments, std::span<const TokenMatch> matches,
                 int prefix_tokens) {
  MergeRows rows;
  for (size_t image = 0; image < segments.size(); ++image) {
    const Segment& segment = segments[image];
    const TokenMatch& match = matches[image];
    const int64_t first_after = static_cast<int64_t>(rows.unmerged.size());
    const std::vector<int> after = segment.merges > 0
                                       ? RowsAfterMerge(match, segment.tokens, prefix_tokens)
                                       : std::vector<int>();
    std::vector<bool> merged_away(segment.tokens);
    for (const int a : match.source) merged_away[2 * a] = true;

    rows.unmerged.resize(first_after + segment.tokens - segment.merges);
    for (int row = 0; row < segment.tokens; ++row) {
      const int row_after = segment.merges > 0 ? after[row] : row;
      if (!merged_away[row]) rows.unmerged[first_after + row_after] = segment.offset + row;
    }

    std::vector<int> receivers = match.destination;
    std::ranges::sort(receivers);
    receivers.erase(std::unique(receivers.begin(), receivers.end()), receivers.end());
    const int64_t first_receiver = static_cast<int64_t>(rows.receiver.size());
    for (const int b : receivers) {
      rows.receiver.push_back(segment.offset + 2 * b + 1);
      rows.received.push_back(first_after + after[2 * b + 1]);
    }
    std::vector<std::pair<int, int>> pairs;  // (A, B)
    for (size_t i = 0; i < match.source.size(); ++i) {
      pairs.emplace_back(match.source[i], match.destination[i]);
    }
    std::ranges::sort(pairs);
    for (const auto& [a, b] : pairs) {
      rows.source.push_back(segment.offset + 2 * a);
      const auto place = std::ranges::lower_bound(receivers, b) - receivers.begin();
      rows.source_into.push_back(first_receiver + place);
    }
  }
  return rows;
}

// A copy, which gradients keep for later, on the tokens' device.
at::Tensor Index(std::vector<int64_t>& rows, const at::Tensor& tokens) {
  return at::from_blob(rows.data(), {static_cast<int64_t>(rows.size())},
                       at::TensorOptions().dtype(c10::ScalarType::Long))
      .to(tokens.device(), c10::ScalarType::Long, /*non_blocking=*/false, /*copy=*/true);
}

}  // namespace

std::vector<TokenMatch> MatchTokens(const at::Tensor& keys, std::span<const Segment> segments,
                                    int prefix_tokens) {
  // Which tokens merge is a choice, not a value: no gradient flows through it.
  const at::NoGradGuard no_gradients;
  std::vector<TokenMatch> matches(segments.size());
  for (size_t image = 0; image < segments.size(); ++image) {
    const Segment& segment = segments[image];
    if (segment.merges == 0) continue;
    const at::Tensor mean =
        keys.narrow(0, segment.offset, segment.tokens).to(kFloat).contiguous().mean(1);
    const at::Tensor norm = at::linalg_vector_norm(mean, 2, 1, /*keepdim=*/true);
    const at::Tensor metric = mean / at::where(norm == 0, 1.0, norm);
    const at::Tensor a = metric.slice(0, 0, segment.tokens, 2);
    const at::Tensor b = metric.slice(0, 1, segment.tokens, 2);
    const at::Tensor scores = at::matmul(a, b.t()).cpu().contiguous();
    matches[image] =
        SelectMatch({scores.const_data_ptr<float>(), static_cast<size_t>(scores.numel())},
                    segment.tokens, prefix_tokens, segment.merges);
  }
  return matches;
}

std::pair<at::Tensor, at::Tensor> MergeTokens(const at::Tensor& tokens, const at::Tensor& size,
                                              std::span<const Segment> segments,
                                              std::span<const TokenMatch> matches,
                                              int prefix_tokens) {
  MergeRows rows = RowsOf(segments, matches, prefix_tokens);
  const at::Tensor unmerged = Index(rows.unmerged, tokens);
  if (rows.source.empty())
    return {tokens.index_select(0, unmerged), size.index_select(0, unmerged)};
  const at::Tensor receiver = Index(rows.receiver, tokens);
  const at::Tensor received = Index(rows.received, tokens);
  const at::Tensor source = Index(rows.source, tokens);
  const at::Tensor source_into = Index(rows.source_into, tokens);

  // sum of size * token over B, then its sources in order; divided by the sum of the sizes.
  const at::Tensor size_b = size.index_select(0, receiver);
  const at::Tensor size_a = size.index_select(0, source);
  const at::Tensor weighted_b = tokens.index_select(0, receiver).to(kFloat) * size_b.unsqueeze(1);
  const at::Tensor weighted_a = tokens.index_select(0, source).to(kFloat) * size_a.unsqueeze(1);
  const at::Tensor sum = weighted_b.index_add(0, source_into, weighted_a);
  const at::Tensor total = size_b.index_add(0, source_into, size_a);
  const at::Tensor merged = (sum / total.unsqueeze(1)).to(tokens.scalar_type());

  return {tokens.index_select(0, unmerged).index_copy(0, received, merged),
          size.index_select(0, unmerged).index_copy(0, received, total)};
}

}  // namespace tome
