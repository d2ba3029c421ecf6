#include "server/metrics/process_collector.h"

#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>
#include <prometheus/metric_type.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace tome {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily Sample(MetricType type, const char* name, const char* help, double value) {
  MetricFamily family{name, help, type, {}};
  prometheus::ClientMetric& metric = family.metric.emplace_back();
  if (type == MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  return family;
}

std::string ReadProcFile(const char* path) {
  std::ifstream stream(path);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

// The field of /proc/self/stat that proc(5) numbers `number`, given the fields from number 3 on.
std::optional<int64_t> StatField(const std::vector<absl::string_view>& from_third, size_t number) {
  int64_t value = 0;
  if (number - 3 >= from_third.size() || !absl::SimpleAtoi(from_third[number - 3], &value)) {
    return std::nullopt;
  }
  return value;
}

// Seconds since the epoch.
std::optional<int64_t> BootTime() {
  const std::string stat = ReadProcFile("/proc/stat");
  for (const absl::string_view line : absl::StrSplit(stat, '\n')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    int64_t seconds = 0;
    if (parts.first == "btime" && absl::SimpleAtoi(parts.second, &seconds)) return seconds;
  }
  return std::nullopt;
}

void AppendStat(std::vector<MetricFamily>& families) {
  const std::string stat = ReadProcFile("/proc/self/stat");
  // The second field, the program's name in parentheses, may itself hold blanks and parentheses.
  const size_t name_end = stat.rfind(") ");
  if (name_end == std::string::npos) return;
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(stat).substr(name_end + 2), ' ');
  const double ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));

  const std::optional<int64_t> user_ticks = StatField(fields, 14);
  const std::optional<int64_t> system_ticks = StatField(fields, 15);
  if (user_ticks && system_ticks) {
    families.push_back(Sample(MetricType::Counter, "process_cpu_seconds_total",
                              "Total user and system CPU time spent in seconds.",
                              static_cast<double>(*user_ticks + *system_ticks) / ticks_per_second));
  }
  if (const std::optional<int64_t> threads = StatField(fields, 20)) {
    families.push_back(Sample(MetricType::Gauge, "process_threads",
                              "Number of OS threads in the process.",
                              static_cast<double>(*threads)));
  }
  const std::optional<int64_t> start_ticks = StatField(fields, 22);
  const std::optional<int64_t> boot_time = BootTime();
  if (start_ticks && boot_time) {
    families.push_back(Sample(
        MetricType::Gauge, "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        static_cast<double>(*boot_time) + static_cast<double>(*start_ticks) / ticks_per_second));
  }
  if (const std::optional<int64_t> bytes = StatField(fields, 23)) {
    families.push_back(Sample(MetricType::Gauge, "process_virtual_memory_bytes",
                              "Virtual memory size in bytes.", static_cast<double>(*bytes)));
  }
  if (const std::optional<int64_t> pages = StatField(fields, 24)) {
    families.push_back(Sample(MetricType::Gauge, "process_resident_memory_bytes",
                              "Resident memory size in bytes.",
                              static_cast<double>(*pages * sysconf(_SC_PAGESIZE))));
  }
}

void AppendDescriptors(std::vector<MetricFamily>& families) {
  std::error_code error;
  int open = -1;  // the listing itself holds one
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error), end;
       !error && entry != end; entry.increment(error)) {
    ++open;
  }
  if (!error && open >= 0) {
    families.push_back(
        Sample(MetricType::Gauge, "process_open_fds", "Number of open file descriptors.", open));
  }
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    families.push_back(Sample(MetricType::Gauge, "process_max_fds",
                              "Maximum number of open file descriptors.",
                              static_cast<double>(limit.rlim_cur)));
  }
}

}  // namespace

std::vector<MetricFamily> ProcessCollector::Collect() const {
  std::vector<MetricFamily> families;
  AppendStat(families);
  AppendDescriptors(families);
  return families;
}

}  // namespace tome
