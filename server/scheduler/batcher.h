#ifndef TOME_SERVER_SCHEDULER_BATCHER_H_
#define TOME_SERVER_SCHEDULER_BATCHER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
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

// Forms batches of whatever is queued, any r beside any other, and runs them on one engine.
// An idle engine takes what is there at once; only `max_delay` makes it wait for company. Expired
// and cancelled tasks are dropped while a batch forms, before they cost compute (DEADLINE_EXCEEDED,
// CANCELLED; counted). Thread-safe.
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
  // Stop().
  ~Batcher();

  // Starts the compute thread. Call once.
  void Start() ABSL_LOCKS_EXCLUDED(thread_mu_);

  // Never blocks. After Stop: UNAVAILABLE, through done.
  void Submit(EmbedTask task) ABSL_LOCKS_EXCLUDED(mu_);

  // Takes no more, finishes what is queued, joins the compute thread. Idempotent. Not from a done.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_, thread_mu_);

  // Forms and runs one batch from what is queued, on the calling thread; false if nothing was
  // queued. What the compute thread does in a loop; tests call it instead of Start.
  bool RunOneBatch() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Queued {
    EmbedTask task;
    absl::Time submitted;
  };

  void RunBatches() ABSL_LOCKS_EXCLUDED(mu_);
  // Waits until a batch is due; false if none will be, because of Stop.
  bool AwaitBatch() ABSL_LOCKS_EXCLUDED(mu_);
  bool IsFull() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Run(std::vector<Queued> batch);

  // Constant after construction.
  const std::string model_;
  Engine& engine_;
  Clock& clock_;
  Metrics& metrics_;
  const absl::Duration max_delay_;
  // Every image of a model has the same tokens before the first block, so both limits are one.
  const size_t images_per_batch_;

  Mutex mu_;
  Condition work_;
  std::deque<Queued> queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  // Taken before mu_; the compute thread never takes it, so that Stop can join under it.
  Mutex thread_mu_ ABSL_ACQUIRED_BEFORE(mu_);
  std::thread compute_thread_ ABSL_GUARDED_BY(thread_mu_);
};

}  // namespace tome

#endif  // TOME_SERVER_SCHEDULER_BATCHER_H_
