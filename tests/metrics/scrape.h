#ifndef TOME_TESTS_METRICS_SCRAPE_H_
#define TOME_TESTS_METRICS_SCRAPE_H_

#include <map>
#include <optional>
#include <string>

#include "server/metrics/metrics.h"

namespace tome {

// The raw answer of GET `path` at `host` (a numeric address), or what went wrong in its place.
std::string HttpGet(const std::string& host, int port, const std::string& path);

// The metrics as Prometheus would read them.
struct Scrape {
  std::string text;
  // "name{label="value",...}" with the labels in alphabetical order.
  std::map<std::string, double> samples;

  std::optional<double> value(const std::string& sample) const {
    const auto found = samples.find(sample);
    if (found == samples.end()) return std::nullopt;
    return found->second;
  }
};

// What a scrape would read, without a socket.
Scrape ScrapeInProcess(const Metrics& metrics);

// Starts an exposer for `metrics` on a free port of the loopback and scrapes it over a socket.
Scrape ScrapeOverSocket(const Metrics& metrics);

}  // namespace tome

#endif  // TOME_TESTS_METRICS_SCRAPE_H_
