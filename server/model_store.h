#ifndef TOME_SERVER_MODEL_STORE_H_
#define TOME_SERVER_MODEL_STORE_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/config/server_config.h"
#include "server/engine/engine.h"
#include "server/metrics/metrics.h"
#include "server/scheduler/admission.h"
#include "server/scheduler/batcher.h"
#include "server/scheduler/compute_turns.h"
#include "server/service/embedding_service.h"

namespace tome {

// The models of the server: loads each from its directory, warms it up, tests it and gives it to
// the service; and while that serves, replaces a model whose directory has changed. The new version
// is made ready beside the old one, new images go to it from one moment on, and the old one goes
// when its last image is answered. A new version that cannot serve changes nothing but the log.
//
// Start and Watch are called once, by one thread, everything else from any.
class ModelStore {
 public:
  // 1 or more engines of the same weights and type, one a device.
  using Engines = std::vector<std::unique_ptr<Engine>>;
  using LoadEngines = std::function<absl::StatusOr<Engines>(const ModelConfig& model)>;
  using OnEnginesLost = std::function<void(const std::string& model)>;

  // Of `config`: the models, the batches' limits, the poll interval. The references outlive the
  // store; `service` calls its models no more when it is destroyed. `on_engines_lost` is called, on
  // a compute thread, for a model that has no engine left.
  ModelStore(const ServerConfig& config, LoadEngines load, OnEnginesLost on_engines_lost,
             EmbeddingService& service, Clock& clock, Metrics& metrics);
  // RequestStop, and waits for what is under way.
  ~ModelStore();
  ModelStore(const ModelStore&) = delete;
  ModelStore& operator=(const ModelStore&) = delete;

  // Loads all models and lets the service serve them. The reason why one cannot be, naming it;
  // CANCELLED if a stop is requested meanwhile.
  absl::Status Start() ABSL_LOCKS_EXCLUDED(mu_);

  // From now on a thread looks at the directories: each poll interval, if there is one, and when
  // RequestReload asks. A poll waits until a directory has not changed since the one before, so
  // that a copy under way is left alone.
  void Watch() ABSL_LOCKS_EXCLUDED(mu_);

  // Replaces the models whose directories have changed, as soon as Watch's thread gets to it.
  void RequestReload() ABSL_LOCKS_EXCLUDED(mu_);

  // Ends Start and Watch before their next step.
  void RequestStop() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // One version of a model. The batcher ends before its engines.
  struct Version {
    const ModelFacts& facts() const { return engines.front()->facts(); }

    Engines engines;
    std::unique_ptr<Batcher> batcher;
  };

  // A model, whatever its version.
  struct Model {
    ModelConfig config;
    std::unique_ptr<Admission> admission;
    Version version;
    std::string loaded;  // what its directory was like when `version` was loaded
    std::string tried;   // and when a version was last loaded, or refused
    std::string seen;    // and at the last poll
  };

  absl::StatusOr<Version> Load(const ModelConfig& config);
  // WarmUp and SelfTest; what the first took.
  absl::StatusOr<absl::Duration> Prepare(Engine& engine);
  // The service serves the current versions.
  void Serve();
  void WatchDirectories() ABSL_LOCKS_EXCLUDED(mu_);
  void Poll();
  void ReloadChanged();
  void Replace(Model& model, const std::string& directory_state);
  bool StopRequested() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status CheckNotStopped() ABSL_LOCKS_EXCLUDED(mu_);

  // Constant after construction.
  const Batcher::Limits limits_;
  const absl::Duration poll_interval_;  // zero: no polls
  const LoadEngines load_;
  const OnEnginesLost on_engines_lost_;
  EmbeddingService& service_;
  Clock& clock_;
  Metrics& metrics_;

  ComputeTurns turns_;
  // Of Start's thread, then of Watch's.
  std::vector<Model> models_;

  Mutex mu_;
  Condition changed_;
  bool reload_requested_ ABSL_GUARDED_BY(mu_) = false;
  bool stop_requested_ ABSL_GUARDED_BY(mu_) = false;

  std::thread watcher_;
};

}  // namespace tome

#endif  // TOME_SERVER_MODEL_STORE_H_
