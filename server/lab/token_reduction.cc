#include "server/lab/token_reduction.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/argsort.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cdist.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "server/model/precision.h"
#include "server/model/token_match.h"

namespace tome {
namespace {

// For each token that is left, the rows it is made of: the first stands for it, the others join it.
using Groups = std::vector<std::vector<int64_t>>;

// One image's part of a block's tokens.
struct Image {
  at::Tensor tokens;  // [n, D]
  at::Tensor size;    // [n]
  at::Tensor qkv;     // [n, 3, heads, d]
  int prefix;
  int fewer;
  double depth;  // of its block: 0 the first, towards 1 at the last

  int rows() const { return static_cast<int>(tokens.size(0)); }
  int patches() const { return rows() - prefix; }
};

// A vector of zeros stays one.
at::Tensor Unit(const at::Tensor& rows) {
  const at::Tensor norm = at::linalg_vector_norm(rows, 2, 1, /*keepdim=*/true);
  return rows / at::where(norm == 0, 1.0, norm);
}

// [n, c] what tokens are compared by.
at::Tensor FeatureOf(const Image& image, const Reduction& reduction) {
  const auto of_heads = [&]() -> at::Tensor {
    switch (reduction.feature) {
      case Feature::kQuery:
        return image.qkv.select(1, 0);
      case Feature::kKey:
        return image.qkv.select(1, 1);
      case Feature::kValue:
        return image.qkv.select(1, 2);
      case Feature::kToken:
        break;
    }
    return image.tokens.unsqueeze(1);
  };
  const at::Tensor heads = of_heads().to(kFloat).contiguous();
  return reduction.heads == Heads::kMean ? heads.mean(1) : heads.flatten(1);
}

// [rows of a, rows of b]
at::Tensor Similarities(Similarity similarity, const at::Tensor& a, const at::Tensor& b) {
  return similarity == Similarity::kEuclidean ? -at::cdist(a, b) : at::matmul(a, b.t());
}

std::vector<int64_t> Shuffled(int64_t count, std::mt19937_64& random) {
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), random);
  return order;
}

std::vector<int64_t> ToVector(const at::Tensor& indices) {
  const at::Tensor dense = indices.contiguous();
  const int64_t* first = dense.const_data_ptr<int64_t>();
  return {first, first + dense.numel()};
}

Groups PrefixAlone(const Image& image) {
  Groups groups;
  for (int64_t row = 0; row < image.prefix; ++row) groups.push_back({row});
  return groups;
}

// Set A is at even positions and B at odd ones, as SelectMatch has it; the row at each position is
// what the sets differ by. The prefix stays in front.
std::vector<int64_t> RowAtPosition(Sets sets, const Image& image, std::mt19937_64& random) {
  std::vector<int64_t> patches(image.patches());
  std::iota(patches.begin(), patches.end(), 0);
  if (sets == Sets::kRandom) patches = Shuffled(image.patches(), random);
  std::vector<int64_t> rows(image.rows());
  std::iota(rows.begin(), rows.end(), 0);
  if (sets == Sets::kAlternating) return rows;
  size_t next = 0;
  for (const int set : {0, 1}) {
    for (int position = image.prefix; position < image.rows(); ++position) {
      if (position % 2 == set) rows[position] = image.prefix + patches[next++];
    }
  }
  return rows;
}

// The best pairs between the sets, of the `candidates` first patches by position.
Groups BestPairs(const Image& image, const at::Tensor& feature, Similarity similarity,
                 const std::vector<int64_t>& row_at, int candidates) {
  const int rows = image.rows();
  const at::Tensor by_position = feature.index_select(0, at::tensor(row_at));
  const at::Tensor scores =
      Similarities(similarity, by_position.slice(0, 0, rows, 2), by_position.slice(0, 1, rows, 2))
          .contiguous();
  const int end = image.prefix + candidates;
  scores.slice(0, RowsOfA(end)).fill_(-std::numeric_limits<float>::infinity());
  scores.slice(1, RowsOfB(end)).fill_(-std::numeric_limits<float>::infinity());
  const TokenMatch match =
      SelectMatch({scores.const_data_ptr<float>(), static_cast<size_t>(scores.numel())}, rows,
                  image.prefix, image.fewer);

  const std::vector<int> after = RowsAfterMerge(match, rows, image.prefix);
  std::vector<bool> joins(rows);
  for (const int a : match.source) joins[2 * a] = true;
  Groups groups(rows - image.fewer);
  for (const bool joining : {false, true}) {
    for (int position = 0; position < rows; ++position) {
      if (joins[position] == joining) groups[after[position]].push_back(row_at[position]);
    }
  }
  return groups;
}

// By falling energy the candidates alternate between the sets, so that likely partners are in both.
Groups PiToMe(const Image& image, const at::Tensor& feature) {
  const at::Tensor unit = Unit(feature);
  // The margin falls with the depth: at first only near copies count as alike.
  const at::Tensor energy =
      PiToMeEnergy(unit.slice(0, image.prefix), /*margin=*/0.9 - 0.9 * image.depth);
  const at::Tensor order = at::argsort(energy, /*stable=*/true, /*dim=*/0, /*descending=*/true);
  std::vector<int64_t> row_at(image.prefix);
  std::iota(row_at.begin(), row_at.end(), 0);
  for (const int64_t patch : ToVector(order)) row_at.push_back(image.prefix + patch);
  return BestPairs(image, unit, Similarity::kCosine, row_at, 2 * image.fewer);
}

// Gives each cluster without a patch the one that is farthest from its centre in a cluster of
// several, for as many tokens to be left as were asked for.
void FillEmptyClusters(const at::Tensor& distance, int64_t clusters,
                       std::vector<int64_t>* cluster_of) {
  std::vector<int> patches_in(clusters);
  for (const int64_t cluster : *cluster_of) ++patches_in[cluster];
  if (std::ranges::find(patches_in, 0) == patches_in.end()) return;
  const std::vector<int64_t> farthest_first =
      ToVector(at::argsort(distance, /*stable=*/true, /*dim=*/0, /*descending=*/true));
  auto patch = farthest_first.begin();
  for (int64_t empty = 0; empty < clusters; ++empty) {
    if (patches_in[empty] > 0) continue;
    while (patches_in[(*cluster_of)[*patch]] < 2) ++patch;
    --patches_in[(*cluster_of)[*patch]];
    ++patches_in[empty];
    (*cluster_of)[*patch++] = empty;
  }
}

// Lloyd's iterations, from patches drawn at random.
Groups KMeans(const Image& image, const at::Tensor& feature, int iterations,
              std::mt19937_64& random) {
  const at::Tensor unit = Unit(feature).slice(0, image.prefix);
  const int64_t clusters = image.patches() - image.fewer;
  std::vector<int64_t> drawn = Shuffled(image.patches(), random);
  drawn.resize(clusters);
  at::Tensor centres = unit.index_select(0, at::tensor(drawn));
  std::vector<int64_t> cluster_of;
  for (int i = 0; i < iterations; ++i) {
    const auto [distance, nearest] = at::cdist(unit, centres).min(1);
    cluster_of = ToVector(nearest);
    FillEmptyClusters(distance, clusters, &cluster_of);
    const at::Tensor into = at::tensor(cluster_of);
    const at::Tensor patches_in =
        at::zeros({clusters, 1}).index_add(0, into, at::ones({image.patches(), 1}));
    centres = at::zeros_like(centres).index_add(0, into, unit) / patches_in;
  }

  Groups of_cluster(clusters);
  for (int64_t patch = 0; patch < image.patches(); ++patch) {
    of_cluster[cluster_of[patch]].push_back(image.prefix + patch);
  }
  std::ranges::sort(of_cluster);
  Groups groups = PrefixAlone(image);
  groups.insert(groups.end(), of_cluster.begin(), of_cluster.end());
  return groups;
}

// The patches at the front of `by_worth`, in their own order; the others are in no group.
Groups KeepFirst(const Image& image, std::vector<int64_t> by_worth) {
  by_worth.resize(image.patches() - image.fewer);
  std::ranges::sort(by_worth);
  Groups groups = PrefixAlone(image);
  for (const int64_t patch : by_worth) groups.push_back({image.prefix + patch});
  return groups;
}

// [patches] how much the class token attends to each, mean over the heads. Sizes are 1: where
// tokens are dropped, none merges.
at::Tensor ClassAttention(const Image& image) {
  const at::Tensor query = image.qkv.select(1, 0).slice(0, 0, 1).transpose(0, 1).to(kFloat);
  const at::Tensor key = image.qkv.select(1, 1).transpose(0, 1).to(kFloat);  // [heads, n, d]
  const double scale = 1.0 / std::sqrt(static_cast<double>(key.size(2)));
  const at::Tensor attention = at::softmax(at::matmul(query * scale, key.transpose(1, 2)), -1);
  return attention.mean(0)[0].slice(0, image.prefix);
}

Groups GroupTokens(const Reduction& reduction, const Image& image, std::mt19937_64& random) {
  switch (reduction.method) {
    case Method::kDropRandom:
      return KeepFirst(image, Shuffled(image.patches(), random));
    case Method::kDropByClassAttention:
      return KeepFirst(image, ToVector(at::argsort(ClassAttention(image), /*stable=*/true,
                                                   /*dim=*/0, /*descending=*/true)));
    case Method::kKMeans:
      return KMeans(image, FeatureOf(image, reduction), reduction.iterations, random);
    case Method::kPiToMe:
      return PiToMe(image, FeatureOf(image, reduction));
    case Method::kBipartite:
      break;
  }
  const at::Tensor feature = FeatureOf(image, reduction);
  return BestPairs(image, reduction.similarity == Similarity::kCosine ? Unit(feature) : feature,
                   reduction.similarity, RowAtPosition(reduction.sets, image, random),
                   image.patches());
}

// Each row of x, and the rows of y that join it, by dimension. Dense float32.
at::Tensor Maximum(const at::Tensor& x, const std::vector<int64_t>& joined, const at::Tensor& y) {
  at::Tensor result = x.clone();
  const int64_t width = x.size(1);
  for (size_t i = 0; i < joined.size(); ++i) {
    float* into = result.mutable_data_ptr<float>() + joined[i] * width;
    const float* from = y.const_data_ptr<float>() + static_cast<int64_t>(i) * width;
    for (int64_t d = 0; d < width; ++d) into[d] = std::max(into[d], from[d]);
  }
  return result;
}

// The groups' tokens and sizes. A token alone keeps its bits.
std::pair<at::Tensor, at::Tensor> CombineGroups(Combine combine, const Image& image,
                                                const Groups& groups) {
  std::vector<int64_t> first;
  std::vector<int64_t> joining;  // rows
  std::vector<int64_t> joined;   // for each of them, its group among those of more than one
  std::vector<int64_t> receiver;
  for (size_t group = 0; group < groups.size(); ++group) {
    first.push_back(groups[group].front());
    if (groups[group].size() == 1) continue;
    for (size_t i = 1; i < groups[group].size(); ++i) {
      joining.push_back(groups[group][i]);
      joined.push_back(static_cast<int64_t>(receiver.size()));
    }
    receiver.push_back(static_cast<int64_t>(group));
  }
  const at::Tensor alone = image.tokens.index_select(0, at::tensor(first));
  const at::Tensor alone_size = image.size.index_select(0, at::tensor(first));
  if (joining.empty()) return {alone, alone_size};

  const at::Tensor receivers = at::tensor(receiver);
  const at::Tensor into = at::tensor(joined);
  const at::Tensor x = alone.index_select(0, receivers);
  const at::Tensor x_size = alone_size.index_select(0, receivers);
  const at::Tensor y = image.tokens.index_select(0, at::tensor(joining));
  const at::Tensor y_size = image.size.index_select(0, at::tensor(joining));
  // Of each group: weight * token, summed, by the weights' sum.
  const auto mean = [&](const at::Tensor& x_weight, const at::Tensor& y_weight) {
    const at::Tensor sum =
        (x * x_weight.unsqueeze(1)).index_add(0, into, y * y_weight.unsqueeze(1));
    return sum / x_weight.index_add(0, into, y_weight).unsqueeze(1);
  };
  at::Tensor merged = x;
  switch (combine) {
    case Combine::kWeightedMean:
      merged = mean(x_size, y_size);
      break;
    case Combine::kMean:
      merged = mean(at::ones_like(x_size), at::ones_like(y_size));
      break;
    case Combine::kMax:
      merged = Maximum(x, joined, y);
      break;
    case Combine::kKeepOne:
      break;
  }
  return {alone.index_copy(0, receivers, merged),
          alone_size.index_copy(0, receivers, x_size.index_add(0, into, y_size))};
}

}  // namespace

at::Tensor PiToMeEnergy(const at::Tensor& unit, double margin) {
  const at::Tensor cosine = at::matmul(unit, unit.t());
  at::Tensor energy = at::where(cosine >= margin, cosine, at::exp(cosine - margin) - 1.0);
  energy.diagonal().fill_(0.0);
  return energy.sum(1) / static_cast<double>(std::max<int64_t>(unit.size(0) - 1, 1));
}

TokenReduction MakeReduction(const Reduction& reduction, std::mt19937_64 random) {
  return [reduction, random](const BlockTokens& block) mutable {
    std::vector<at::Tensor> tokens;
    std::vector<at::Tensor> sizes;
    for (const Segment& segment : block.images) {
      const auto own = [&](const at::Tensor& all) {
        return all.narrow(0, segment.offset, segment.tokens);
      };
      const Image image = {.tokens = own(block.tokens),
                           .size = own(block.size),
                           .qkv = own(block.qkv),
                           .prefix = block.prefix_tokens,
                           .fewer = segment.merges,
                           .depth = static_cast<double>(block.block) / block.blocks};
      std::pair<at::Tensor, at::Tensor> reduced(image.tokens, image.size);
      if (segment.merges > 0) {
        reduced = CombineGroups(reduction.combine, image, GroupTokens(reduction, image, random));
      }
      tokens.push_back(std::move(reduced.first));
      sizes.push_back(std::move(reduced.second));
    }
    return std::pair(at::cat(tokens), at::cat(sizes));
  };
}

}  // namespace tome
