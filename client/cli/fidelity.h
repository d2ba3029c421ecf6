#ifndef TOME_CLIENT_CLI_FIDELITY_H_
#define TOME_CLIENT_CLI_FIDELITY_H_

#include <cstddef>
#include <string>
#include <vector>

namespace tome::client {

// Embeddings of the same pictures, a row each, all of one length. Cosines of rows of length 0 are
// 0.
using Vectors = std::vector<std::vector<float>>;

// How near embeddings at some schedule are to those at r = 0, picture by picture.
struct Fidelity {
  double mean = 0.0;  // of the cosines
  double p5 = 0.0;    // their 5th percentile: one in twenty is lower
  // The same after the exact embeddings' own mean was taken from both: embeddings that all point
  // the same way have high cosines whatever becomes of them.
  double centred_mean = 0.0;
  double centred_p5 = 0.0;
};

// REQUIRES: as many rows in both, at least one.
Fidelity FidelityOf(const Vectors& exact, const Vectors& merged);

// Of each row the other rows that are nearest to it, nearest first; of equals the lower.
using Neighbours = std::vector<std::vector<size_t>>;

// As many as `count` of each row, or all others where they are fewer.
Neighbours NearestOthers(const Vectors& vectors, size_t count);

// Of each picture's first `count` neighbours in `exact`, the share that is among its first in
// `merged`; the mean over the pictures. Those of a picture that has fewer all count. REQUIRES: as
// many pictures in both, at least two; as many neighbours of each, `count` of them if there are so
// many others; count > 0.
double NeighbourRecall(const Neighbours& exact, const Neighbours& merged, size_t count);

// The share of pictures whose nearest other picture has their label. REQUIRES: a label a picture,
// at least two pictures.
double NearestLabelAccuracy(const Neighbours& neighbours, const std::vector<std::string>& labels);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_FIDELITY_H_
