#include "server/metrics/gpu_collector.h"

#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>
#include <prometheus/metric_type.h>

namespace tome {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

// A gauge of one sample a device.
class GpuGauge {
 public:
  GpuGauge(const char* name, const char* help) : family_{name, help, MetricType::Gauge, {}} {}

  void Add(const std::string& device, double value) {
    prometheus::ClientMetric& metric = family_.metric.emplace_back();
    metric.label = {{"device", device}};
    metric.gauge.value = value;
  }

  void AppendTo(std::vector<MetricFamily>& families) {
    if (!family_.metric.empty()) families.push_back(std::move(family_));
  }

 private:
  MetricFamily family_;
};

}  // namespace

GpuCollector::GpuCollector(const Nvml* nvml, const std::vector<Gpu>& gpus) : nvml_(nvml) {
  if (nvml == nullptr) return;
  for (const Gpu& gpu : gpus) {
    Nvml::Device handle = nullptr;
    if (nvml->device_by_bus_id(gpu.bus_id.c_str(), &handle) == 0) {
      handles_.push_back({.device = gpu.device, .handle = handle});
    }
  }
}

std::vector<MetricFamily> GpuCollector::Collect() const {
  GpuGauge utilization("tome_gpu_utilization_ratio", "Share of time in which the GPU was busy.");
  GpuGauge used("tome_gpu_memory_used_bytes", "Memory of the GPU in use, by any process.");
  GpuGauge total("tome_gpu_memory_total_bytes", "Memory of the GPU.");
  GpuGauge temperature("tome_gpu_temperature_celsius", "Temperature of the GPU.");
  GpuGauge power("tome_gpu_power_watts", "Power that the GPU draws.");
  for (const auto& [device, handle] : handles_) {
    Nvml::Utilization busy;
    if (nvml_->utilization(handle, &busy) == 0) utilization.Add(device, busy.gpu / 100.0);
    Nvml::MemoryInfo memory;
    if (nvml_->memory(handle, &memory) == 0) {
      used.Add(device, static_cast<double>(memory.used));
      total.Add(device, static_cast<double>(memory.total));
    }
    unsigned int celsius = 0;
    if (nvml_->temperature(handle, 0, &celsius) == 0) temperature.Add(device, celsius);
    unsigned int milliwatts = 0;
    if (nvml_->power(handle, &milliwatts) == 0) power.Add(device, milliwatts / 1000.0);
  }
  std::vector<MetricFamily> families;
  for (GpuGauge* gauge : {&utilization, &used, &total, &temperature, &power}) {
    gauge->AppendTo(families);
  }
  return families;
}

}  // namespace tome
