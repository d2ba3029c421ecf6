#include "server/metrics/gpu_collector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/metric_family.h>

#include <cstring>
#include <map>
#include <string>

namespace tome {
namespace {

using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

int gpu = 0;  // what a handle points to

// One GPU at 0000:18:00.0, half busy.
Nvml FakeNvml() {
  return {.init = [] { return 0; },
          .device_by_bus_id =
              [](const char* bus_id, Nvml::Device* device) {
                *device = reinterpret_cast<Nvml::Device>(&gpu);
                return std::strcmp(bus_id, "0000:18:00.0") == 0 ? 0 : 6;
              },
          .utilization =
              [](Nvml::Device, Nvml::Utilization* utilization) {
                *utilization = {.gpu = 50, .memory = 10};
                return 0;
              },
          .memory =
              [](Nvml::Device, Nvml::MemoryInfo* memory) {
                *memory = {.total = 1000, .free = 300, .used = 700};
                return 0;
              },
          .temperature =
              [](Nvml::Device, int, unsigned int* celsius) {
                *celsius = 41;
                return 0;
              },
          .power =
              [](Nvml::Device, unsigned int* milliwatts) {
                *milliwatts = 350'500;
                return 0;
              }};
}

// "name device" to value.
std::map<std::string, double> Collected(const GpuCollector& collector) {
  std::map<std::string, double> values;
  for (const prometheus::MetricFamily& family : collector.Collect()) {
    for (const prometheus::ClientMetric& metric : family.metric) {
      values[family.name + " " + metric.label.at(0).value] = metric.gauge.value;
    }
  }
  return values;
}

TEST(GpuCollectorTest, TellsUtilisationMemoryTemperatureAndPowerOfEachGpu) {
  const Nvml nvml = FakeNvml();
  const GpuCollector collector(&nvml, {{.device = "cuda:0", .bus_id = "0000:18:00.0"}});

  EXPECT_THAT(Collected(collector),
              UnorderedElementsAre(Pair("tome_gpu_utilization_ratio cuda:0", 0.5),
                                   Pair("tome_gpu_memory_used_bytes cuda:0", 700),
                                   Pair("tome_gpu_memory_total_bytes cuda:0", 1000),
                                   Pair("tome_gpu_temperature_celsius cuda:0", 41),
                                   Pair("tome_gpu_power_watts cuda:0", 350.5)));
}

TEST(GpuCollectorTest, LeavesOutWhatCannotBeRead) {
  Nvml nvml = FakeNvml();
  nvml.utilization = [](Nvml::Device, Nvml::Utilization*) { return 3; };
  nvml.memory = [](Nvml::Device, Nvml::MemoryInfo*) { return 3; };
  nvml.power = [](Nvml::Device, unsigned int*) { return 3; };
  const GpuCollector collector(&nvml, {{.device = "cuda:1", .bus_id = "0000:18:00.0"}});

  EXPECT_THAT(Collected(collector),
              UnorderedElementsAre(Pair("tome_gpu_temperature_celsius cuda:1", 41)));
}

TEST(GpuCollectorTest, WithoutTheLibraryOrTheGpuThereIsNothing) {
  const Nvml nvml = FakeNvml();

  EXPECT_THAT(GpuCollector(nullptr, {{.device = "cuda:0", .bus_id = "0000:18:00.0"}}).Collect(),
              IsEmpty());
  EXPECT_THAT(GpuCollector(&nvml, {{.device = "cuda:0", .bus_id = "0000:99:00.0"}}).Collect(),
              IsEmpty());
}

}  // namespace
}  // namespace tome
