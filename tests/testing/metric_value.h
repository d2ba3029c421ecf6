#ifndef TOME_TESTS_TESTING_METRIC_VALUE_H_
#define TOME_TESTS_TESTING_METRIC_VALUE_H_

#include <map>
#include <string>

#include "server/metrics/metrics.h"

namespace tome {

using MetricLabels = std::map<std::string, std::string>;

// A counter's or gauge's value, a histogram's number of observations: summed over the label sets of
// the metric `name` (without "tome_") that have all of `labels`. Fails the test if there is none.
double MetricValue(const Metrics& metrics, const std::string& name,
                   const MetricLabels& labels = {});

// The sum of a histogram's observations, likewise.
double HistogramSum(const Metrics& metrics, const std::string& name,
                    const MetricLabels& labels = {});

}  // namespace tome

#endif  // TOME_TESTS_TESTING_METRIC_VALUE_H_
