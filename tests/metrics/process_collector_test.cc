#include "server/metrics/process_collector.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <prometheus/metric_family.h>
#include <prometheus/metric_type.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include "tests/metrics/scrape.h"

namespace tome {
namespace {

using prometheus::MetricType;

std::map<std::string, prometheus::MetricFamily> CollectByName() {
  std::map<std::string, prometheus::MetricFamily> families;
  for (const prometheus::MetricFamily& family : ProcessCollector().Collect()) {
    families[family.name] = family;
  }
  return families;
}

double GaugeValue(const std::string& name) {
  return CollectByName().at(name).metric.at(0).gauge.value;
}

TEST(ProcessCollectorTest, NamesAndTypesAreThoseOfTheClientLibraries) {
  std::map<std::string, MetricType> types;
  for (const auto& [name, family] : CollectByName()) types[name] = family.type;

  const std::map<std::string, MetricType> expected = {
      {"process_cpu_seconds_total", MetricType::Counter},
      {"process_max_fds", MetricType::Gauge},
      {"process_open_fds", MetricType::Gauge},
      {"process_resident_memory_bytes", MetricType::Gauge},
      {"process_start_time_seconds", MetricType::Gauge},
      {"process_threads", MetricType::Gauge},
      {"process_virtual_memory_bytes", MetricType::Gauge},
  };
  EXPECT_EQ(types, expected);
}

TEST(ProcessCollectorTest, CpuSecondsAreThoseTheKernelCounts) {
  timespec before;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  const double seconds = CollectByName().at("process_cpu_seconds_total").metric.at(0).counter.value;
  timespec after;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);

  // /proc counts in ticks of 1/100 s, of user and system time each.
  EXPECT_GE(seconds,
            static_cast<double>(before.tv_sec) + 1e-9 * static_cast<double>(before.tv_nsec) - 0.05);
  EXPECT_LE(seconds,
            static_cast<double>(after.tv_sec) + 1e-9 * static_cast<double>(after.tv_nsec) + 0.05);
}

TEST(ProcessCollectorTest, AFileThatIsOpenedIsCounted) {
  const double before = GaugeValue("process_open_fds");

  const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  const double with_file = GaugeValue("process_open_fds");
  close(fd);

  EXPECT_EQ(with_file, before + 1);
  EXPECT_EQ(GaugeValue("process_open_fds"), before);
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(GaugeValue("process_max_fds"), static_cast<double>(limit.rlim_cur));
}

TEST(ProcessCollectorTest, MemoryThatIsTouchedIsResident) {
  constexpr size_t kBytes = size_t{64} << 20;
  const double before = GaugeValue("process_resident_memory_bytes");

  const std::vector<char> touched(kBytes, 1);

  EXPECT_GT(GaugeValue("process_resident_memory_bytes"), before + 0.9 * kBytes)
      << touched.back() << ", before " << before;
  EXPECT_GE(GaugeValue("process_virtual_memory_bytes"),
            GaugeValue("process_resident_memory_bytes"));
}

TEST(ProcessCollectorTest, TheProcessStartedBeforeNowAndNotLongAgo) {
  const double start = GaugeValue("process_start_time_seconds");

  // btime is rounded to a second.
  EXPECT_LE(start, static_cast<double>(time(nullptr)) + 2);
  EXPECT_GE(start, static_cast<double>(time(nullptr)) - 600);
}

TEST(ProcessCollectorTest, TheExposerShowsThemBesideTheServersOwn) {
  const Scrape scrape = ScrapeOverSocket(Metrics());

  EXPECT_GT(scrape.value("process_resident_memory_bytes").value_or(0), 1e6);
  EXPECT_GT(scrape.value("process_threads").value_or(0), 1);
}

}  // namespace
}  // namespace tome
