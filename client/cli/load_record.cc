#include "client/cli/load_record.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace tome::client {

std::optional<absl::Duration> Percentile(std::vector<absl::Duration> values, double p) {
  const auto count = static_cast<double>(values.size());
  // A hair is left for 0.999 * 1000, which is not 999 in binary.
  if (values.empty() || count * (1.0 - p) < 1.0 - 1e-9) return std::nullopt;
  const auto rank = static_cast<std::ptrdiff_t>(std::ceil(count * p - 1e-9));
  const auto wanted = values.begin() + std::max<std::ptrdiff_t>(rank - 1, 0);
  std::nth_element(values.begin(), wanted, values.end());
  return *wanted;
}

LoadRecord::LoadRecord(absl::Time begin, absl::Duration length, Steady steady)
    : begin_(begin), length_(length), steady_(steady) {}

int LoadRecord::WindowOf(absl::Time due) const {
  if (due < begin_) return -1;
  absl::Duration rest;
  return static_cast<int>(absl::IDivDuration(due - begin_, length_, &rest));
}

size_t LoadRecord::Sent(absl::Time due) {
  const size_t number = samples_.size();
  samples_.emplace_back().due = due;
  if (const int window = WindowOf(due); window >= 0) {
    first_.resize(std::max<size_t>(first_.size(), window + 1), number);
    unanswered_.resize(first_.size(), 0);
    ++unanswered_[window];
  }
  return number;
}

void LoadRecord::Ended(size_t number, absl::Time when, absl::StatusCode code,
                       const Timing& timing) {
  LoadSample& sample = samples_[number];
  sample.ended = when;
  sample.code = code;
  sample.timing = timing;
  if (const int window = WindowOf(sample.due); window >= 0) --unanswered_[window];
}

int LoadRecord::WholeWindows(absl::Time now) const {
  const int over = std::max(WindowOf(now), 0);
  for (int window = 0; window < over; ++window) {
    if (window < static_cast<int>(unanswered_.size()) && unanswered_[window] > 0) return window;
  }
  return over;
}

std::vector<LoadSample> LoadRecord::Samples(int first, int last) const {
  const auto sample_of = [this](int window) {
    const bool there = window < static_cast<int>(first_.size());
    return samples_.begin() + static_cast<std::ptrdiff_t>(there ? first_[window] : samples_.size());
  };
  return {sample_of(first), sample_of(last)};
}

LoadWindow LoadRecord::Windows(int first, int last) const {
  LoadWindow result;
  std::vector<absl::Duration> latencies;
  for (const LoadSample& sample : Samples(first, last)) {
    if (sample.code == absl::StatusCode::kOk) {
      latencies.push_back(sample.latency());
    } else {
      ++result.errors[sample.code];
    }
  }
  result.embedded = static_cast<int>(latencies.size());
  result.images_per_second = result.embedded / absl::ToDoubleSeconds(length_ * (last - first));
  result.median_latency = Percentile(std::move(latencies), 0.5);
  return result;
}

bool LoadRecord::IsSteady(int windows) const {
  if (windows < kSteadyWindows) return false;
  double smallest = std::numeric_limits<double>::infinity();
  double largest = 0.0;
  for (int i = windows - kSteadyWindows; i < windows; ++i) {
    const LoadWindow window = Window(i);
    // Neither has a value where nothing was embedded.
    if (!window.median_latency.has_value()) return false;
    const double value = steady_ == Steady::kRate ? window.images_per_second
                                                  : absl::ToDoubleSeconds(*window.median_latency);
    smallest = std::min(smallest, value);
    largest = std::max(largest, value);
  }
  return largest <= smallest * (1.0 + kSteadyWithin);
}

}  // namespace tome::client
