#ifndef TOME_SERVER_SCHEDULER_BATCHER_H_
#define TOME_SERVER_SCHEDULER_BATCHER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/base/cancellation.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/engine/engine.h"
#include "server/metrics/metrics.h"
#include "server/scheduler/compute_turns.h"

namespace tome {

// What the batch did for one image.
struct EmbedResult {
  EmbeddedImage image;
  absl::Duration queued;   // from Submit to the start of its batch
  absl::Duration compute;  // of the whole batch
  int batch_images = 0;
};

// One image on its way to the engine.
struct EmbedTask {
  std::vector<uint8_t> pixels;        // [input height, input width, 3]
  std::vector<int> merges_per_block;  // r asked of each block, before the cap
  Pooling pooling = Pooling::kModelsOwn;
  bool want_tokens = false;
  bool want_merge_map = false;
  absl::Time deadline = absl::InfiniteFuture();  // on the batcher's clock
  Cancellation cancellation;
  // Called exactly once, with the result or the reason there is none; on the compute thread, or on
  // the caller's inside Submit when the batcher has stopped. Short: the engine waits for it.
  absl::AnyInvocable<void(absl::StatusOr<EmbedResult>)> done;
};

// Forms batches of whatever is queued, any r beside any other, and runs them on one engine or on
// several that serve the same model. An idle engine takes what is there at once; only `max_delay`
// makes it wait for company. A busy engine that can overlap runs takes a batch ahead once a full
// one is queued. Expired and cancelled tasks are dropped while a batch forms, before they cost
// compute (DEADLINE_EXCEEDED, CANCELLED; counted). An engine that is lost gets no more batches;
// once none is left, everything queued and to come is answered UNAVAILABLE. Thread-safe.
class Batcher {
 public:
  struct Limits {
    int max_images = 32;
    int max_tokens = 32 * 197;  // before the first block; one image always fits
    absl::Duration max_delay =
        absl::ZeroDuration();  // the first image of a batch waits at most this long
  };

  // `model` labels the metrics. The references outlive the batcher. No thread runs before Start.
  Batcher(std::string model, Engine& engine, Clock& clock, Metrics& metrics, const Limits& limits);
  // REQUIRES: 1 or more engines, of the same model and type.
  Batcher(std::string model, const std::vector<Engine*>& engines, Clock& clock, Metrics& metrics,
          const Limits& limits);
  // Stop().
  ~Batcher();

  // Called once, on a compute thread, when no engine is left. Set before Start.
  void OnEnginesLost(std::function<void()> on_engines_lost);

  // Its engines share their cores with those of others: a batch forms and runs within a turn. Set
  // before Start; outlives the batcher.
  void ShareCores(ComputeTurns& turns);

  // Starts the compute threads: for each engine as many as it makes use of. Call once.
  void Start() ABSL_LOCKS_EXCLUDED(thread_mu_);

  // Never blocks. After Stop: UNAVAILABLE, through done.
  void Submit(EmbedTask task) ABSL_LOCKS_EXCLUDED(mu_);

  // Takes no more, finishes what is queued, joins the compute threads. Idempotent. Not from a done.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_, thread_mu_);

  // Forms and runs one batch from what is queued, on the calling thread; false if nothing was
  // queued. What a compute thread does in a loop; tests call it instead of Start.
  bool RunOneBatch() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Queued {
    EmbedTask task;
    absl::Time submitted;
  };

  // What became of the front of the queue.
  struct Taken {
    std::vector<Queued> batch;
    std::vector<std::pair<EmbedTask, absl::Status>> dropped;
  };

  // An engine and what it is doing.
  struct Worker {
    explicit Worker(Engine& served) : engine(served) {}

    Engine& engine;
    int running = 0;  // batches
    bool lost = false;
    absl::Time busy_until = absl::InfinitePast();  // counted as busy so far
    EngineStatistics counted;                      // likewise
  };

  void RunBatches(Worker& worker) ABSL_LOCKS_EXCLUDED(mu_);
  // Waits until a batch is due for the engine; false if none will be, because of Stop or its loss.
  bool AwaitBatch(Worker& worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IsFull() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Taken TakeBatch(Worker& worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Finish(Worker& worker, Taken taken) ABSL_LOCKS_EXCLUDED(mu_);
  void Run(Worker& worker, std::vector<Queued> batch) ABSL_LOCKS_EXCLUDED(mu_);
  // The run that began then is over: counts it, and sees to it that a lost engine gets no more.
  void EndRun(Worker& worker, absl::Time begin) ABSL_LOCKS_EXCLUDED(mu_);
  Worker& FirstWorker() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Constant after construction.
  const std::string model_;
  const int tokens_;  // of an image, before the first block
  Clock& clock_;
  Metrics& metrics_;
  const absl::Duration max_delay_;
  // Every image of a model has the same tokens before the first block, so both limits are one.
  const size_t images_per_batch_;
  std::function<void()> on_engines_lost_;
  ComputeTurns* turns_ = nullptr;

  Mutex mu_;
  Condition work_;
  std::deque<Queued> queue_ ABSL_GUARDED_BY(mu_);
  std::vector<Worker> workers_ ABSL_GUARDED_BY(mu_);
  size_t workers_left_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  // Taken before mu_; a compute thread never takes it, so that Stop can join under it.
  Mutex thread_mu_ ABSL_ACQUIRED_BEFORE(mu_);
  std::vector<std::thread> compute_threads_ ABSL_GUARDED_BY(thread_mu_);
};

}  // namespace tome

#endif  // TOME_SERVER_SCHEDULER_BATCHER_H_
