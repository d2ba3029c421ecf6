#include "client/cli/fidelity.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

#include "client/cli/cosine.h"

namespace tome::client {
namespace {

// Rows of length 1, or 0.
Vectors Normalized(Vectors rows) {
  for (std::vector<float>& row : rows) {
    double squared = 0.0;
    for (const float value : row) squared += double{value} * value;
    if (squared == 0.0) continue;
    for (float& value : row) value = static_cast<float>(value / std::sqrt(squared));
  }
  return rows;
}

float Dot(const std::vector<float>& a, const std::vector<float>& b) {
  // Several sums side by side: the compiler may not reorder one.
  constexpr size_t kSums = 8;
  float sums[kSums] = {};
  size_t i = 0;
  for (; i + kSums <= a.size(); i += kSums) {
    for (size_t j = 0; j < kSums; ++j) sums[j] += a[i + j] * b[i + j];
  }
  float rest = 0.0f;
  for (; i < a.size(); ++i) rest += a[i] * b[i];
  return std::accumulate(sums, sums + kSums, rest);
}

// The `count` rows nearest to row `of`, without itself, nearest first; of equals the lower.
std::vector<size_t> NearestTo(const Vectors& unit, size_t of, size_t count) {
  std::vector<float> cosine(unit.size());
  for (size_t i = 0; i < unit.size(); ++i) cosine[i] = Dot(unit[of], unit[i]);
  std::vector<size_t> order;
  for (size_t i = 0; i < unit.size(); ++i) {
    if (i != of) order.push_back(i);
  }
  count = std::min(count, order.size());
  std::partial_sort(
      order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(),
      [&](size_t a, size_t b) { return cosine[a] != cosine[b] ? cosine[a] > cosine[b] : a < b; });
  order.resize(count);
  return order;
}

std::vector<double> MeanOf(const Vectors& rows) {
  std::vector<double> mean(rows.front().size());
  for (const std::vector<float>& row : rows) {
    for (size_t i = 0; i < mean.size(); ++i) mean[i] += row[i];
  }
  for (double& value : mean) value /= static_cast<double>(rows.size());
  return mean;
}

std::vector<float> Minus(std::vector<float> row, const std::vector<double>& mean) {
  for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(row[i] - mean[i]);
  return row;
}

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double FifthPercentile(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 20];
}

}  // namespace

Fidelity FidelityOf(const Vectors& exact, const Vectors& merged) {
  const std::vector<double> mean = MeanOf(exact);
  std::vector<double> cosines;
  std::vector<double> centred;
  for (size_t i = 0; i < exact.size(); ++i) {
    cosines.push_back(Cosine(exact[i], merged[i]));
    centred.push_back(Cosine(Minus(exact[i], mean), Minus(merged[i], mean)));
  }
  return {.mean = Mean(cosines),
          .p5 = FifthPercentile(cosines),
          .centred_mean = Mean(centred),
          .centred_p5 = FifthPercentile(centred)};
}

Neighbours NearestOthers(const Vectors& vectors, size_t count) {
  const Vectors unit = Normalized(vectors);
  Neighbours neighbours;
  for (size_t i = 0; i < unit.size(); ++i) neighbours.push_back(NearestTo(unit, i, count));
  return neighbours;
}

double NeighbourRecall(const Neighbours& exact, const Neighbours& merged, size_t count) {
  double recall = 0.0;
  for (size_t i = 0; i < exact.size(); ++i) {
    const size_t among = std::min(count, exact[i].size());
    std::vector<size_t> wanted(exact[i].begin(), exact[i].begin() + among);
    std::vector<size_t> found(merged[i].begin(), merged[i].begin() + among);
    std::ranges::sort(wanted);
    std::ranges::sort(found);
    std::vector<size_t> both;
    std::ranges::set_intersection(wanted, found, std::back_inserter(both));
    recall += static_cast<double>(both.size()) / static_cast<double>(among);
  }
  return recall / static_cast<double>(exact.size());
}

double NearestLabelAccuracy(const Neighbours& neighbours, const std::vector<std::string>& labels) {
  int right = 0;
  for (size_t i = 0; i < neighbours.size(); ++i) {
    if (labels[neighbours[i].front()] == labels[i]) ++right;
  }
  return static_cast<double>(right) / static_cast<double>(neighbours.size());
}

}  // namespace tome::client
