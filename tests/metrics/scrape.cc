#include "tests/metrics/scrape.h"

#include <gtest/gtest.h>
#include <netdb.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "server/metrics/exposer.h"

namespace tome {
namespace {

// `name{b="1",a="2"}` as `name{a="2",b="1"}`. No label's value in these tests holds `",`.
std::string SortLabels(const std::string& sample) {
  const size_t brace = sample.find('{');
  if (brace == std::string::npos) return sample;
  std::vector<std::string> labels =
      absl::StrSplit(sample.substr(brace + 1, sample.size() - brace - 2), "\",");
  for (std::string& label : labels) {
    if (label.back() == '"') label.pop_back();
  }
  std::sort(labels.begin(), labels.end());
  return absl::StrCat(sample.substr(0, brace), "{", absl::StrJoin(labels, "\","), "\"}");
}

Scrape ParseMetrics(const std::string& text) {
  Scrape scrape{text, {}};
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(text, '\n'))) {
    if (line.empty() || line.front() == '#') continue;
    const size_t space = line.rfind(' ');
    double value = 0;
    EXPECT_TRUE(space != std::string::npos && absl::SimpleAtod(line.substr(space + 1), &value))
        << line;
    EXPECT_TRUE(scrape.samples.insert({SortLabels(line.substr(0, space)), value}).second)
        << "twice: " << line;
  }
  return scrape;
}

}  // namespace

std::string HttpGet(const std::string& host, int port, const std::string& path) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* address = nullptr;
  if (const int error = getaddrinfo(host.c_str(), absl::StrCat(port).c_str(), &hints, &address)) {
    return gai_strerror(error);
  }
  const int fd = socket(address->ai_family, SOCK_STREAM, 0);
  std::string answer;
  if (connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
    answer = absl::StrCat("connect: ", std::strerror(errno));
  } else {
    const std::string request =
        absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) ==
        static_cast<ssize_t>(request.size())) {
      char part[4096];
      while (true) {
        const ssize_t size = recv(fd, part, sizeof(part), 0);
        if (size <= 0) break;
        answer.append(part, static_cast<size_t>(size));
      }
    }
  }
  close(fd);
  freeaddrinfo(address);
  return answer;
}

Scrape ScrapeInProcess(const Metrics& metrics) {
  return ParseMetrics(prometheus::TextSerializer().Serialize(metrics.registry()->Collect()));
}

Scrape ScrapeOverSocket(const Metrics& metrics) {
  auto exposer = MetricsExposer::Start("127.0.0.1:0", metrics);
  if (!exposer.ok()) {
    ADD_FAILURE() << exposer.status();
    return {};
  }
  const std::string answer = HttpGet("127.0.0.1", (*exposer)->port(), "/metrics");
  const size_t head = answer.find("\r\n\r\n");
  if (answer.rfind("HTTP/1.1 200 ", 0) != 0 || head == std::string::npos) {
    ADD_FAILURE() << "answer: " << answer;
    return {};
  }
  return ParseMetrics(answer.substr(head + 4));
}

}  // namespace tome
