#ifndef TOME_CLIENT_CLI_FIDELITY_H_
#define TOME_CLIENT_CLI_FIDELITY_H_

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
  // The mean after the exact embeddings' own mean was taken from both: embeddings that all point
  // the same way have high cosines whatever becomes of them.
  double centred_mean = 0.0;
};

// REQUIRES: as many rows in both, at least one.
Fidelity FidelityOf(const Vectors& exact, const Vectors& merged);

// Of each picture's `count` nearest other pictures among `exact`, the share that is among its
// nearest in `merged`; the mean over the pictures. Fewer than `count` others: all of them count.
// REQUIRES: as many rows in both, at least two; count > 0.
double NeighbourRecall(const Vectors& exact, const Vectors& merged, int count);

// The share of pictures whose nearest other picture has their label. REQUIRES: a label a row, at
// least two rows.
double NearestLabelAccuracy(const Vectors& vectors, const std::vector<std::string>& labels);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_FIDELITY_H_
