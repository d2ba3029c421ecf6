#include "server/model_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "server/base/log.h"
#include "server/base/status.h"
#include "server/base/thread_pool.h"
#include "server/engine/self_test.h"
#include "server/engine/warm_up.h"

namespace tome {
namespace {

constexpr int kWarmUpImages = 8;

// The list of a per-block default is only now seen beside the model's blocks.
absl::Status CheckDefaultSchedule(const MergeSchedule& schedule, int blocks) {
  const auto* per_block = std::get_if<MergeSchedule::PerBlock>(&schedule.kind());
  if (per_block == nullptr || static_cast<int>(per_block->r.size()) <= blocks) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("default-r: lists ", per_block->r.size(), " blocks, the model has ", blocks));
}

// Another text after any change of a file: each one's name, inode, size and time of change, whether
// in the directory itself or behind a link. What cannot be looked at is left out; loading says why.
std::string StateOf(const std::string& directory) {
  std::set<std::string> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    struct stat facts;
    if (stat(entry->path().c_str(), &facts) != 0) continue;
    files.insert(absl::StrCat(entry->path().filename().string(), " ", facts.st_dev, " ",
                              facts.st_ino, " ", facts.st_size, " ", facts.st_mtim.tv_sec, ".",
                              facts.st_mtim.tv_nsec));
  }
  return absl::StrJoin(files, "\n");
}

// The engine while others may compute on the same cores.
class EngineInTurns final : public Engine {
 public:
  EngineInTurns(Engine& engine, ComputeTurns& turns) : engine_(engine), turns_(turns) {}

  const ModelFacts& facts() const override { return engine_.facts(); }
  std::vector<absl::StatusOr<EmbeddedImage>> Run(std::span<const EngineImage> images) override {
    const ComputeTurns::Turn turn(&turns_);
    return engine_.Run(images);
  }

 private:
  Engine& engine_;
  ComputeTurns& turns_;
};

// Engines on GPUs have their device to themselves.
bool SharesCores(const ModelFacts& facts) { return facts.device == "cpu"; }

}  // namespace

ModelStore::ModelStore(const ServerConfig& config, LoadEngines load, OnEnginesLost on_engines_lost,
                       EmbeddingService& service, Clock& clock, Metrics& metrics)
    : limits_({.max_images = config.max_batch_images,
               .max_tokens = config.max_batch_tokens,
               .max_delay = config.max_batch_delay}),
      poll_interval_(config.model_poll_interval),
      load_(std::move(load)),
      on_engines_lost_(std::move(on_engines_lost)),
      service_(service),
      clock_(clock),
      metrics_(metrics) {
  for (const ModelConfig& model : config.models) {
    models_.push_back(
        {.config = model,
         .admission = std::make_unique<Admission>(model.max_admitted_images, clock, metrics),
         .version = {},
         .loaded = {},
         .tried = {},
         .seen = {}});
  }
}

ModelStore::~ModelStore() {
  RequestStop();
  if (watcher_.joinable()) watcher_.join();
}

absl::Status ModelStore::Start() {
  for (Model& model : models_) {
    model.loaded = model.tried = model.seen = StateOf(model.config.directory);
    absl::StatusOr<Version> version = Load(model.config);
    TOME_RETURN_IF_ERROR(CheckNotStopped());
    if (!version.ok()) {
      return absl::Status(version.status().code(), absl::StrCat("model ", model.config.name, ": ",
                                                                version.status().message()));
    }
    model.version = *std::move(version);
  }
  for (const Model& model : models_) model.version.batcher->Start();
  Serve();
  return absl::OkStatus();
}

absl::StatusOr<ModelStore::Version> ModelStore::Load(const ModelConfig& config) {
  const absl::Time begin = clock_.Now();
  Version version;
  TOME_ASSIGN_OR_RETURN(version.engines, load_(config));
  const ModelFacts& facts = version.facts();
  TOME_RETURN_IF_ERROR(CheckDefaultSchedule(config.default_schedule, facts.blocks));
  const absl::Duration load = clock_.Now() - begin;
  absl::Duration warm_up;
  std::vector<Engine*> engines;
  for (const std::unique_ptr<Engine>& engine : version.engines) {
    TOME_ASSIGN_OR_RETURN(const absl::Duration took, Prepare(*engine));
    warm_up += took;
    engines.push_back(engine.get());
  }
  LogInfo("model ready", {{"model", config.name},
                          {"architecture", facts.architecture},
                          {"dtype", facts.dtype},
                          {"weights_digest", facts.weights_digest},
                          {"devices", engines.size()},
                          {"load", absl::FormatDuration(load)},
                          {"warm_up", absl::FormatDuration(warm_up)}});
  version.batcher = std::make_unique<Batcher>(config.name, engines, clock_, metrics_, limits_);
  if (SharesCores(facts)) version.batcher->ShareCores(turns_);
  version.batcher->OnEnginesLost([this, name = config.name] { on_engines_lost_(name); });
  return version;
}

absl::StatusOr<absl::Duration> ModelStore::Prepare(Engine& engine) {
  TOME_RETURN_IF_ERROR(CheckNotStopped());
  EngineInTurns in_turns(engine, turns_);
  Engine& prepared = SharesCores(engine.facts()) ? in_turns : engine;
  const int largest =
      std::clamp(limits_.max_tokens / engine.facts().tokens(), 1, limits_.max_images);
  const std::array<int, 2> sizes = {1, std::min(largest, kWarmUpImages)};
  TOME_ASSIGN_OR_RETURN(const absl::Duration warm_up, WarmUp(prepared, sizes, clock_));
  TOME_RETURN_IF_ERROR(CheckNotStopped());
  TOME_RETURN_IF_ERROR(SelfTest(prepared));
  return warm_up;
}

void ModelStore::Serve() {
  std::vector<ServedModel> served;
  for (const Model& model : models_) {
    served.push_back({.name = model.config.name,
                      .facts = &model.version.facts(),
                      .admission = model.admission.get(),
                      .batcher = model.version.batcher.get(),
                      .default_schedule = model.config.default_schedule});
  }
  service_.Serve(std::move(served));
}

void ModelStore::Watch() {
  watcher_ = std::thread([this] {
    SetThreadName("models");
    WatchDirectories();
  });
}

void ModelStore::WatchDirectories() {
  absl::Time next_poll = clock_.Now() + poll_interval_;
  while (true) {
    bool reload = false;
    {
      MutexLock lock(mu_);
      while (!stop_requested_ && !reload_requested_ &&
             (poll_interval_ == absl::ZeroDuration() || clock_.Now() < next_poll)) {
        if (poll_interval_ == absl::ZeroDuration()) {
          changed_.Wait(mu_);
        } else {
          clock_.WaitUntil(changed_, mu_, next_poll);
        }
      }
      if (stop_requested_) return;
      reload = std::exchange(reload_requested_, false);
    }
    if (reload) {
      ReloadChanged();
    } else {
      Poll();
      next_poll = clock_.Now() + poll_interval_;
    }
  }
}

void ModelStore::Poll() {
  for (Model& model : models_) {
    const std::string state = StateOf(model.config.directory);
    const bool settled = state == std::exchange(model.seen, state);
    if (settled && state != model.loaded && state != model.tried) Replace(model, state);
  }
}

void ModelStore::ReloadChanged() {
  for (Model& model : models_) {
    const std::string state = StateOf(model.config.directory);
    if (state == model.loaded) {
      LogInfo("model not replaced: its directory has not changed", {{"model", model.config.name}});
    } else {
      Replace(model, state);
    }
  }
}

void ModelStore::Replace(Model& model, const std::string& directory_state) {
  if (StopRequested()) return;
  LogInfo("loading a new version of a model", {{"model", model.config.name}});
  model.tried = directory_state;
  absl::StatusOr<Version> version = Load(model.config);
  if (StopRequested()) return;
  metrics_.ModelReloaded(model.config.name, version.ok());
  if (!version.ok()) {
    LogError("model not replaced: the new version cannot serve, the old one goes on",
             {{"model", model.config.name},
              {"reason", version.status().message()},
              {"weights_digest", model.version.facts().weights_digest}});
    return;
  }
  version->batcher->Start();
  const Version old = std::exchange(model.version, *std::move(version));
  model.loaded = directory_state;
  Serve();
  LogInfo("model replaced", {{"model", model.config.name},
                             {"old_weights_digest", old.facts().weights_digest},
                             {"weights_digest", model.version.facts().weights_digest}});
  service_.AwaitReplaced();
}

void ModelStore::RequestReload() {
  MutexLock lock(mu_);
  reload_requested_ = true;
  changed_.NotifyAll();
}

void ModelStore::RequestStop() {
  MutexLock lock(mu_);
  stop_requested_ = true;
  changed_.NotifyAll();
}

bool ModelStore::StopRequested() {
  MutexLock lock(mu_);
  return stop_requested_;
}

absl::Status ModelStore::CheckNotStopped() {
  return StopRequested() ? absl::CancelledError("stopped") : absl::OkStatus();
}

}  // namespace tome
