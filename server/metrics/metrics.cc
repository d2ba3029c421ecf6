#include "server/metrics/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <functional>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "server/base/mutex.h"

namespace tome {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;
using prometheus::Registry;
using Buckets = Histogram::BucketBoundaries;

// The codes of gRPC, 0 to 16.
constexpr int kCodes = 17;
constexpr std::array<const char*, 5> kMethods = {"Embed", "EmbedBatch", "EmbedStream", "ListModels",
                                                 "GetModel"};
constexpr std::array<const char*, 5> kStages = {"decode", "preprocess", "queue", "compute",
                                                "encode"};
constexpr std::array<const char*, 3> kDropReasons = {"cancelled", "expired", "full"};
constexpr std::array<const char*, 3> kServerStates = {"starting", "serving", "draining"};

// Seconds of a call. On CPU cores an image alone takes tens of milliseconds and a full batch some
// hundreds, so objectives lie from 50 ms to 1 s: the boundaries are densest there, and any of them
// is an exact threshold for the share of calls that met it. 1 ms is a call that computes nothing,
// 30 s the default deadline.
Buckets RequestSeconds() {
  return {0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15,
          0.2,   0.3,   0.5,   0.75, 1,    1.5,  2,    5,     10,  30};
}

// Seconds of one stage: encoding a vector takes some 100 us, a queue under overload as long as the
// deadline.
Buckets StageSeconds() {
  return {0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05,
          0.1,    0.2,    0.5,    1,     2,     5,     10,   30};
}

Buckets BatchImages() { return {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256}; }

// From a small model's one image (50 tokens) to a large batch on a GPU.
Buckets BatchTokens() {
  return {64, 128, 256, 512, 1024, 2048, 4096, 8192, 16'384, 32'768, 65'536, 131'072};
}

// The share of an image's tokens merged away; 0 is the exact model.
Buckets MergedRatio() { return {0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1}; }

// A cosine: what users choose between lies close below 1.
Buckets Fidelity() {
  return {0, 0.5, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.96, 0.97, 0.98, 0.99, 0.995, 0.999, 1};
}

template <typename Metric>
Family<Metric>& AddFamily(prometheus::detail::Builder<Metric> builder, Registry& registry,
                          const std::string& name, const std::string& help) {
  return builder.Name(name).Help(help).Register(registry);
}
Family<Counter>& AddCounters(Registry& registry, const std::string& name, const std::string& help) {
  return AddFamily(prometheus::BuildCounter(), registry, name, help);
}
Family<Gauge>& AddGauges(Registry& registry, const std::string& name, const std::string& help) {
  return AddFamily(prometheus::BuildGauge(), registry, name, help);
}
Family<Histogram>& AddHistograms(Registry& registry, const std::string& name,
                                 const std::string& help) {
  return AddFamily(prometheus::BuildHistogram(), registry, name, help);
}

struct MethodHandles {
  Counter* started = nullptr;
  std::array<Counter*, kCodes> finished{};
  Histogram* duration = nullptr;
};

// Those of a CPU have none but the first two.
struct DeviceHandles {
  Counter* busy = nullptr;
  Gauge* lost = nullptr;
  Counter* graph_passes = nullptr;
  Counter* eager_passes = nullptr;
  Counter* copy = nullptr;
};

struct ModelHandles {
  std::array<Counter*, kCodes> images{};
  std::array<Histogram*, kStages.size()> stages{};
  Histogram* merged_ratio = nullptr;
  Histogram* expected_fidelity = nullptr;
  Counter* tokens_in = nullptr;
  Counter* tokens_merged = nullptr;
  Counter* reloads_ok = nullptr;
  Counter* reloads_failed = nullptr;
};

// A code that gRPC does not know counts as UNKNOWN.
int CodeIndex(absl::StatusCode code) {
  const int index = static_cast<int>(code);
  return index >= 0 && index < kCodes ? index : static_cast<int>(absl::StatusCode::kUnknown);
}

std::string CompilerName() {
#if defined(__clang__)
  return absl::StrCat("clang ", __clang_major__, ".", __clang_minor__, ".", __clang_patchlevel__);
#else
  return absl::StrCat("gcc ", __GNUC__, ".", __GNUC_MINOR__, ".", __GNUC_PATCHLEVEL__);
#endif
}

}  // namespace

struct Metrics::Families {
  Families();

  // The handles of a device that was added; all null if none is. They live as long as the registry.
  DeviceHandles Device(absl::string_view device) ABSL_LOCKS_EXCLUDED(mu) {
    MutexLock lock(mu);
    const auto found = devices.find(device);
    return found == devices.end() ? DeviceHandles() : found->second;
  }

  // The handles of a model that AddModel made, or null. They live as long as the registry.
  const ModelHandles* Model(absl::string_view model) ABSL_LOCKS_EXCLUDED(mu) {
    MutexLock lock(mu);
    const auto found = models.find(model);
    return found == models.end() ? nullptr : &found->second;
  }

  // Constant after construction.
  const std::shared_ptr<Registry> registry = std::make_shared<Registry>();
  Family<Counter>& requests_started;
  Family<Counter>& requests;
  Family<Histogram>& request_duration;
  Family<Counter>& images;
  Family<Histogram>& stage_duration;
  Family<Histogram>& merged_ratio;
  Family<Histogram>& expected_fidelity;
  Family<Counter>& tokens;
  Family<Counter>& engine_busy;
  Family<Counter>& engine_passes;
  Family<Counter>& engine_copy;
  Family<Gauge>& device_lost;
  Family<Counter>& dropped_images;
  Family<Gauge>& model_info;
  Family<Counter>& model_reloads;
  Histogram& batch_images;
  Histogram& batch_tokens;
  Gauge& queue_images;
  Gauge& inflight_images;
  std::array<MethodHandles, kMethods.size()> methods;
  std::array<Counter*, kDropReasons.size()> dropped{};
  std::array<Gauge*, kServerStates.size()> states{};

  Mutex mu;
  // By name. Nodes never move, so handles are used outside the lock.
  std::map<std::string, ModelHandles, std::less<>> models ABSL_GUARDED_BY(mu);
  std::map<std::string, Gauge*, std::less<>> model_infos ABSL_GUARDED_BY(mu);
  std::map<std::string, DeviceHandles, std::less<>> devices ABSL_GUARDED_BY(mu);
};

Metrics::Families::Families()
    : requests_started(
          AddCounters(*registry, "tome_requests_started_total", "Calls that arrived.")),
      requests(AddCounters(*registry, "tome_requests_total", "Calls answered, by gRPC status.")),
      request_duration(AddHistograms(*registry, "tome_request_duration_seconds",
                                     "From a call's arrival to its status.")),
      images(AddCounters(*registry, "tome_images_total",
                         "Images of known models, by the gRPC status each ended in.")),
      stage_duration(AddHistograms(*registry, "tome_stage_duration_seconds",
                                   "Time of an image in each stage of its way; compute is that of "
                                   "its whole batch.")),
      merged_ratio(AddHistograms(*registry, "tome_merged_tokens_ratio",
                                 "Share of an embedded image's tokens that were merged away.")),
      expected_fidelity(
          AddHistograms(*registry, "tome_expected_fidelity",
                        "Cosine of an embedded image to its embedding without merging that the "
                        "model's profile expects; nothing without a profile.")),
      tokens(AddCounters(*registry, "tome_tokens_total",
                         "Tokens of embedded images: before the first block (in) and merged away "
                         "(merged).")),
      engine_busy(AddCounters(*registry, "tome_engine_busy_seconds_total",
                              "Time in which the engine ran a batch.")),
      engine_passes(AddCounters(*registry, "tome_engine_passes_total",
                                "Passes on a GPU: replayed as a CUDA graph (graph) or launched "
                                "kernel by kernel (eager).")),
      engine_copy(AddCounters(*registry, "tome_engine_copy_seconds_total",
                              "Time that a GPU took to copy pixels in, beside its passes.")),
      device_lost(AddGauges(*registry, "tome_device_lost",
                            "1 once a device is lost: it gets no more batches from this server.")),
      dropped_images(AddCounters(*registry, "tome_dropped_images_total",
                                 "Images given up before they cost compute: the caller cancelled, "
                                 "the deadline expired, or the server was full.")),
      model_info(AddGauges(*registry, "tome_model_info", "1 for each model served.")),
      model_reloads(
          AddCounters(*registry, "tome_model_reloads_total",
                      "New versions of a served model that were loaded: they replaced the "
                      "old one (ok) or could not serve (failed).")),
      batch_images(AddHistograms(*registry, "tome_batch_images", "Images in a batch.")
                       .Add({}, BatchImages())),
      batch_tokens(
          AddHistograms(*registry, "tome_batch_tokens", "Tokens in a batch before the first block.")
              .Add({}, BatchTokens())),
      queue_images(
          AddGauges(*registry, "tome_queue_images", "Images waiting for a batch.").Add({})),
      inflight_images(
          AddGauges(*registry, "tome_inflight_images", "Images admitted and not yet answered.")
              .Add({})) {
  for (size_t m = 0; m < kMethods.size(); ++m) {
    const Labels method = {{"method", kMethods[m]}};
    methods[m].started = &requests_started.Add(method);
    methods[m].duration = &request_duration.Add(method, RequestSeconds());
    for (int code = 0; code < kCodes; ++code) {
      const std::string name(StatusCodeName(static_cast<absl::StatusCode>(code)));
      methods[m].finished[code] = &requests.Add({{"method", kMethods[m]}, {"code", name}});
    }
  }
  for (size_t i = 0; i < kDropReasons.size(); ++i) {
    dropped[i] = &dropped_images.Add({{"reason", kDropReasons[i]}});
  }
  Family<Gauge>& server_state =
      AddGauges(*registry, "tome_server_state", "1 for the state the server is in.");
  for (size_t i = 0; i < kServerStates.size(); ++i) {
    states[i] = &server_state.Add({{"state", kServerStates[i]}});
  }
  // A part of the promised names: at 0 as long as a request's own r is what it gets.
  Family<Counter>& r_raised =
      AddCounters(*registry, "tome_r_raised_total",
                  "Images whose r the server raised, to meet a latency budget or under overload.");
  for (const char* reason : {"latency_budget", "overload"}) r_raised.Add({{"reason", reason}});
  AddGauges(*registry, "tome_build_info", "1, with what this binary is as labels.")
      .Add({{"version", TOME_VERSION}, {"compiler", CompilerName()}})
      .Set(1);
}

Metrics::Metrics() : families_(std::make_unique<Families>()) {
  SetServerState(ServerState::kStarting);
}
Metrics::~Metrics() = default;

void Metrics::AddDevice(absl::string_view device) {
  const std::string name(device);
  Families& f = *families_;
  MutexLock lock(f.mu);
  const auto [entry, added] = f.devices.try_emplace(name);
  if (!added) return;
  DeviceHandles& handles = entry->second;
  handles.busy = &f.engine_busy.Add({{"device", name}});
  handles.lost = &f.device_lost.Add({{"device", name}});
  if (!absl::StartsWith(name, "cuda")) return;
  handles.graph_passes = &f.engine_passes.Add({{"device", name}, {"how", "graph"}});
  handles.eager_passes = &f.engine_passes.Add({{"device", name}, {"how", "eager"}});
  handles.copy = &f.engine_copy.Add({{"device", name}});
}

void Metrics::AddModel(absl::string_view model, const ModelInfo& info) {
  AddDevice(info.device);
  const std::string name(model);
  Families& f = *families_;
  MutexLock lock(f.mu);

  const auto [entry, added] = f.models.try_emplace(name);
  if (added) {
    ModelHandles& handles = entry->second;
    for (int code = 0; code < kCodes; ++code) {
      const std::string code_name(StatusCodeName(static_cast<absl::StatusCode>(code)));
      handles.images[code] = &f.images.Add({{"model", name}, {"code", code_name}});
    }
    for (size_t i = 0; i < kStages.size(); ++i) {
      handles.stages[i] =
          &f.stage_duration.Add({{"model", name}, {"stage", kStages[i]}}, StageSeconds());
    }
    handles.merged_ratio = &f.merged_ratio.Add({{"model", name}}, MergedRatio());
    handles.expected_fidelity = &f.expected_fidelity.Add({{"model", name}}, Fidelity());
    handles.tokens_in = &f.tokens.Add({{"model", name}, {"state", "in"}});
    handles.tokens_merged = &f.tokens.Add({{"model", name}, {"state", "merged"}});
    handles.reloads_ok = &f.model_reloads.Add({{"model", name}, {"result", "ok"}});
    handles.reloads_failed = &f.model_reloads.Add({{"model", name}, {"result", "failed"}});
  }

  Gauge*& shown = f.model_infos[name];
  Gauge& current = f.model_info.Add({{"model", name},
                                     {"architecture", info.architecture},
                                     {"dtype", info.dtype},
                                     {"device", info.device},
                                     {"weights_digest", info.weights_digest}});
  if (shown != nullptr && shown != &current) f.model_info.Remove(shown);
  shown = &current;
  current.Set(1);
}

void Metrics::SetServerState(ServerState state) {
  for (size_t i = 0; i < kServerStates.size(); ++i) {
    families_->states[i]->Set(i == static_cast<size_t>(state) ? 1 : 0);
  }
}

void Metrics::ModelReloaded(absl::string_view model, bool replaced) {
  const ModelHandles* handles = families_->Model(model);
  if (handles == nullptr) return;
  (replaced ? handles->reloads_ok : handles->reloads_failed)->Increment();
}

void Metrics::RequestStarted(Method method) {
  families_->methods[static_cast<size_t>(method)].started->Increment();
}

void Metrics::RequestFinished(Method method, absl::StatusCode code, absl::Duration duration) {
  const MethodHandles& handles = families_->methods[static_cast<size_t>(method)];
  handles.duration->Observe(absl::ToDoubleSeconds(duration));
  handles.finished[CodeIndex(code)]->Increment();
}

void Metrics::ImagesFinished(absl::string_view model, absl::StatusCode code, int images) {
  const ModelHandles* handles = families_->Model(model);
  if (handles == nullptr) return;
  handles->images[CodeIndex(code)]->Increment(images);
}

void Metrics::ObserveStage(absl::string_view model, Stage stage, absl::Duration duration) {
  const ModelHandles* handles = families_->Model(model);
  if (handles == nullptr) return;
  handles->stages[static_cast<size_t>(stage)]->Observe(absl::ToDoubleSeconds(duration));
}

void Metrics::ObserveExpectedFidelity(absl::string_view model, double fidelity) {
  const ModelHandles* handles = families_->Model(model);
  if (handles != nullptr) handles->expected_fidelity->Observe(fidelity);
}

void Metrics::ObserveMerging(absl::string_view model, int tokens_in, int tokens_merged) {
  const ModelHandles* handles = families_->Model(model);
  if (handles == nullptr) return;
  handles->merged_ratio->Observe(static_cast<double>(tokens_merged) / tokens_in);
  handles->tokens_in->Increment(tokens_in);
  handles->tokens_merged->Increment(tokens_merged);
}

void Metrics::ObserveBatch(int images, int tokens) {
  families_->batch_images.Observe(images);
  families_->batch_tokens.Observe(tokens);
}

void Metrics::EngineBusy(absl::string_view device, absl::Duration duration) {
  const DeviceHandles handles = families_->Device(device);
  if (handles.busy != nullptr) handles.busy->Increment(absl::ToDoubleSeconds(duration));
}

void Metrics::EnginePasses(absl::string_view device, uint64_t graph, uint64_t eager,
                           absl::Duration copy) {
  const DeviceHandles handles = families_->Device(device);
  if (handles.copy == nullptr) return;
  handles.graph_passes->Increment(static_cast<double>(graph));
  handles.eager_passes->Increment(static_cast<double>(eager));
  handles.copy->Increment(absl::ToDoubleSeconds(copy));
}

void Metrics::DeviceLost(absl::string_view device) {
  const DeviceHandles handles = families_->Device(device);
  if (handles.lost != nullptr) handles.lost->Set(1);
}

void Metrics::AddQueueImages(int delta) { families_->queue_images.Increment(delta); }

void Metrics::AddInflightImages(int delta) { families_->inflight_images.Increment(delta); }

void Metrics::ImagesDropped(DropReason reason, int images) {
  families_->dropped[static_cast<size_t>(reason)]->Increment(images);
}

std::shared_ptr<Registry> Metrics::registry() const { return families_->registry; }

absl::string_view StatusCodeName(absl::StatusCode code) {
  constexpr std::array<absl::string_view, kCodes> kNames = {"OK",
                                                            "CANCELLED",
                                                            "UNKNOWN",
                                                            "INVALID_ARGUMENT",
                                                            "DEADLINE_EXCEEDED",
                                                            "NOT_FOUND",
                                                            "ALREADY_EXISTS",
                                                            "PERMISSION_DENIED",
                                                            "RESOURCE_EXHAUSTED",
                                                            "FAILED_PRECONDITION",
                                                            "ABORTED",
                                                            "OUT_OF_RANGE",
                                                            "UNIMPLEMENTED",
                                                            "INTERNAL",
                                                            "UNAVAILABLE",
                                                            "DATA_LOSS",
                                                            "UNAUTHENTICATED"};
  return kNames[CodeIndex(code)];
}

}  // namespace tome
