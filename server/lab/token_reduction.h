#ifndef TOME_SERVER_LAB_TOKEN_REDUCTION_H_
#define TOME_SERVER_LAB_TOKEN_REDUCTION_H_

#include <ATen/core/Tensor.h>

#include <random>

#include "server/model/reference_pass.h"

namespace tome {

// The ways to have fewer tokens that the paper compares (ToMe, tables 1 and 2), and one later
// matcher, each in the place of ReferencePass's own matching and merging.

enum class Method {
  kBipartite,             // the paper's own: the best pairs between two sets
  kDropRandom,            // r patches drawn at random are gone
  kDropByClassAttention,  // so are the r that the class token attends to least
  kKMeans,                // as many clusters as tokens are to be left
  // PiToMe's energy score ("Accelerating Transformers with Spectrum-Preserving Token Merging", Tran
  // et al., 2024): only the 2r patches that are most like many others pair up.
  kPiToMe,
};
enum class Feature { kKey, kQuery, kValue, kToken };  // kToken: what is merged itself
enum class Heads { kMean, kConcatenated };
enum class Similarity { kCosine, kDotProduct, kEuclidean };  // the last: the distance's negative
// Which patches are set A and which B: every other one, the first half and the second, or at
// random.
enum class Sets { kAlternating, kSequential, kRandom };
// What a group of tokens becomes; their sizes add up in any case. kKeepOne: its token of set B.
enum class Combine { kWeightedMean, kMean, kMax, kKeepOne };

// One way to do it; as it comes, the server's.
struct Reduction {
  Method method = Method::kBipartite;
  // Of kKMeans and kPiToMe, too, which always compare by the angle.
  Feature feature = Feature::kKey;
  Heads heads = Heads::kMean;
  // Of kBipartite alone.
  Similarity similarity = Similarity::kCosine;
  Sets sets = Sets::kAlternating;
  // Of all that merge.
  Combine combine = Combine::kWeightedMean;
  int iterations = 0;  // of kKMeans
};

// The reduction as a pass calls it. What is drawn at random is drawn from `random`, in the order of
// blocks and images: one for each pass makes it repeatable. For float32 passes without gradients.
// REQUIRES: kDropByClassAttention: the first prefix token is the class token.
TokenReduction MakeReduction(const Reduction& reduction, std::mt19937_64 random);

// PiToMe's score of each patch: the mean over the others of f(cosine), where f(x) = x from `margin`
// on and exp(x - margin) - 1 below (its equation 4, with alpha = 1). High: one of many alike.
//   unit [n, c] features of length 1 -> [n]
at::Tensor PiToMeEnergy(const at::Tensor& unit, double margin);

}  // namespace tome

#endif  // TOME_SERVER_LAB_TOKEN_REDUCTION_H_
