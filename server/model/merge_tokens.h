#ifndef TOME_SERVER_MODEL_MERGE_TOKENS_H_
#define TOME_SERVER_MODEL_MERGE_TOKENS_H_

#include <ATen/core/Tensor.h>

#include <span>
#include <utility>
#include <vector>

#include "server/merge/merge_plan.h"
#include "server/model/token_match.h"

namespace tome {

// The pairs that each image merges in one block, one match an image; an image that merges nothing
// has an empty one.
//   keys      [T, heads, d] attention keys of the packed tokens
//   segments  the images' rows and merge counts, as the block finds them
// An image's metric is the mean of its keys over the heads, float32, L2-normalised (a zero vector
// stays zero); a pair's score is the product of the two metrics.
std::vector<TokenMatch> MatchTokens(const at::Tensor& keys, std::span<const Segment> segments,
                                    int prefix_tokens);

// The packed tokens [T, D] and their sizes [T] (float32) after the merges. A B token that receives
// becomes the size-weighted mean of itself and its sources, summed in float32 in this order: itself
// first, then the sources by ascending row. Every other token keeps its bits. Sizes add up.
// Gradients flow as through any weighted mean.
std::pair<at::Tensor, at::Tensor> MergeTokens(const at::Tensor& tokens, const at::Tensor& size,
                                              std::span<const Segment> segments,
                                              std::span<const TokenMatch> matches,
                                              int prefix_tokens);

}  // namespace tome

#endif  // TOME_SERVER_MODEL_MERGE_TOKENS_H_
