#include "tests/testing/metric_value.h"

#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <algorithm>

namespace tome {
namespace {

bool HasLabels(const prometheus::ClientMetric& metric, const MetricLabels& labels) {
  return std::ranges::all_of(labels, [&](const auto& wanted) {
    return std::ranges::any_of(metric.label, [&](const prometheus::ClientMetric::Label& label) {
      return label.name == wanted.first && label.value == wanted.second;
    });
  });
}

template <typename Read>
double SumOver(const Metrics& metrics, const std::string& name, const MetricLabels& labels,
               const Read& read) {
  double sum = 0.0;
  int found = 0;
  for (const prometheus::MetricFamily& family : metrics.registry()->Collect()) {
    if (family.name != "tome_" + name) continue;
    for (const prometheus::ClientMetric& metric : family.metric) {
      if (!HasLabels(metric, labels)) continue;
      sum += read(family.type, metric);
      ++found;
    }
  }
  EXPECT_GT(found, 0) << "no metric tome_" << name << " with these labels";
  return sum;
}

}  // namespace

double MetricValue(const Metrics& metrics, const std::string& name, const MetricLabels& labels) {
  return SumOver(metrics, name, labels,
                 [](prometheus::MetricType type, const prometheus::ClientMetric& metric) -> double {
                   if (type == prometheus::MetricType::Counter) return metric.counter.value;
                   if (type == prometheus::MetricType::Gauge) return metric.gauge.value;
                   return static_cast<double>(metric.histogram.sample_count);
                 });
}

double HistogramSum(const Metrics& metrics, const std::string& name, const MetricLabels& labels) {
  return SumOver(metrics, name, labels,
                 [](prometheus::MetricType, const prometheus::ClientMetric& metric) {
                   return metric.histogram.sample_sum;
                 });
}

}  // namespace tome
