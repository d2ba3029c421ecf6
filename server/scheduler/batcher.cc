#include "server/scheduler/batcher.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include "server/base/log.h"
#include "server/base/thread_pool.h"
#include "server/scheduler/drop.h"

namespace tome {
namespace {

constexpr absl::string_view kStopping = "stopping: call another server";
constexpr absl::string_view kNoDevice = "this server has lost its GPUs: call another server";

size_t ImagesPerBatch(const Batcher::Limits& limits, int tokens) {
  return std::max(1, std::min(limits.max_images, limits.max_tokens / tokens));
}

// The pixels go first: whoever is told the answer also gets the memory back.
void Answer(EmbedTask task, absl::StatusOr<EmbedResult> result) {
  task.pixels = std::vector<uint8_t>();
  task.done(std::move(result));
}

}  // namespace

Batcher::Batcher(std::string model, Engine& engine, Clock& clock, Metrics& metrics,
                 const Limits& limits)
    : Batcher(std::move(model), std::vector<Engine*>{&engine}, clock, metrics, limits) {}

Batcher::Batcher(std::string model, const std::vector<Engine*>& engines, Clock& clock,
                 Metrics& metrics, const Limits& limits)
    : model_(std::move(model)),
      tokens_(engines.front()->facts().tokens()),
      clock_(clock),
      metrics_(metrics),
      max_delay_(limits.max_delay),
      images_per_batch_(ImagesPerBatch(limits, tokens_)),
      workers_left_(engines.size()) {
  for (Engine* engine : engines) {
    workers_.emplace_back(*engine);
    metrics_.AddDevice(engine->facts().device);
  }
}

Batcher::~Batcher() { Stop(); }

void Batcher::OnEnginesLost(std::function<void()> on_engines_lost) {
  on_engines_lost_ = std::move(on_engines_lost);
}

void Batcher::ShareCores(ComputeTurns& turns) { turns_ = &turns; }

void Batcher::Start() {
  MutexLock lock(thread_mu_);
  MutexLock queue_lock(mu_);
  for (Worker& worker : workers_) {
    for (int i = 0; i < worker.engine.facts().concurrent_runs; ++i) {
      compute_threads_.emplace_back([this, &worker] {
        SetThreadName(absl::StrCat("compute-", model_));
        RunBatches(worker);
      });
    }
  }
}

void Batcher::Submit(EmbedTask task) {
  absl::string_view refusal;
  {
    MutexLock lock(mu_);
    if (!stopping_ && workers_left_ > 0) {
      queue_.push_back({.task = std::move(task), .submitted = clock_.Now()});
      metrics_.AddQueueImages(1);
      // Not each of them can use it: a busy engine waits for a full batch.
      work_.NotifyAll();
      return;
    }
    refusal = stopping_ ? kStopping : kNoDevice;
  }
  Answer(std::move(task), absl::UnavailableError(refusal));
}

void Batcher::Stop() {
  MutexLock lock(thread_mu_);
  {
    MutexLock queue_lock(mu_);
    stopping_ = true;
    work_.NotifyAll();
  }
  for (std::thread& thread : compute_threads_) thread.join();
  compute_threads_.clear();
  // What is left if no compute thread ran.
  while (RunOneBatch()) {
  }
}

void Batcher::RunBatches(Worker& worker) {
  while (true) {
    {
      MutexLock lock(mu_);
      if (!AwaitBatch(worker)) return;
    }
    // What comes while others compute is part of the batch.
    const ComputeTurns::Turn turn(turns_);
    Taken taken;
    {
      MutexLock lock(mu_);
      taken = TakeBatch(worker);
    }
    Finish(worker, std::move(taken));
  }
}

bool Batcher::AwaitBatch(Worker& worker) {
  while (!worker.lost) {
    if (queue_.empty()) {
      if (stopping_) return false;
      work_.Wait(mu_);
      continue;
    }
    if (stopping_ || IsFull()) return true;
    if (worker.running > 0) {
      work_.Wait(mu_);
      continue;
    }
    const absl::Time due = queue_.front().submitted + max_delay_;
    if (clock_.Now() >= due) return true;
    clock_.WaitUntil(work_, mu_, due);
  }
  return false;
}

bool Batcher::IsFull() const { return queue_.size() >= images_per_batch_; }

bool Batcher::RunOneBatch() {
  Worker* worker = nullptr;
  Taken taken;
  {
    MutexLock lock(mu_);
    if (queue_.empty()) return false;
    worker = &FirstWorker();
    taken = TakeBatch(*worker);
  }
  Finish(*worker, std::move(taken));
  return true;
}

Batcher::Worker& Batcher::FirstWorker() {
  for (Worker& worker : workers_) {
    if (!worker.lost) return worker;
  }
  return workers_.front();
}

Batcher::Taken Batcher::TakeBatch(Worker& worker) {
  Taken taken;
  const absl::Time now = clock_.Now();
  while (!queue_.empty() && taken.batch.size() < images_per_batch_) {
    Queued next = std::move(queue_.front());
    queue_.pop_front();
    absl::Status wanted = CheckStillWanted(now, next.task.deadline, next.task.cancellation,
                                           "the image's batch began", metrics_);
    if (wanted.ok()) {
      taken.batch.push_back(std::move(next));
    } else {
      taken.dropped.emplace_back(std::move(next.task), std::move(wanted));
    }
  }
  metrics_.AddQueueImages(-static_cast<int>(taken.batch.size() + taken.dropped.size()));
  if (!taken.batch.empty()) ++worker.running;
  return taken;
}

void Batcher::Finish(Worker& worker, Taken taken) {
  for (auto& [task, reason] : taken.dropped) Answer(std::move(task), std::move(reason));
  if (!taken.batch.empty()) Run(worker, std::move(taken.batch));
}

void Batcher::EndRun(Worker& worker, absl::Time begin) {
  std::deque<Queued> unserved;
  bool none_left = false;
  {
    MutexLock lock(mu_);
    // Runs that overlap are one busy time.
    const absl::Time now = clock_.Now();
    metrics_.EngineBusy(worker.engine.facts().device, now - std::max(begin, worker.busy_until));
    worker.busy_until = now;
    const EngineStatistics counted = worker.engine.statistics();
    metrics_.EnginePasses(worker.engine.facts().device,
                          counted.graph_runs - worker.counted.graph_runs,
                          counted.eager_runs - worker.counted.eager_runs,
                          absl::Seconds(counted.copy_seconds - worker.counted.copy_seconds));
    worker.counted = counted;
    --worker.running;
    if (worker.engine.lost() && !worker.lost) {
      worker.lost = true;
      metrics_.DeviceLost(worker.engine.facts().device);
      none_left = --workers_left_ == 0;
    }
    if (workers_left_ == 0) {
      unserved.swap(queue_);
      metrics_.AddQueueImages(-static_cast<int>(unserved.size()));
    }
    work_.NotifyAll();
  }
  for (Queued& queued : unserved) {
    Answer(std::move(queued.task), absl::UnavailableError(kNoDevice));
  }
  if (none_left && on_engines_lost_) on_engines_lost_();
}

void Batcher::Run(Worker& worker, std::vector<Queued> batch) {
  const int images = static_cast<int>(batch.size());
  std::vector<EngineImage> engine_images;
  engine_images.reserve(batch.size());
  for (const Queued& queued : batch) {
    engine_images.push_back({.pixels = queued.task.pixels,
                             .merges_per_block = queued.task.merges_per_block,
                             .pooling = queued.task.pooling,
                             .want_tokens = queued.task.want_tokens,
                             .want_merge_map = queued.task.want_merge_map});
  }

  const absl::Time begin = clock_.Now();
  std::vector<absl::StatusOr<EmbeddedImage>> results = worker.engine.Run(engine_images);
  const absl::Duration compute = clock_.Now() - begin;

  if (results.size() != batch.size()) {
    LogError("the engine's results do not match its batch",
             {{"model", model_}, {"images", images}, {"results", results.size()}});
    results.resize(batch.size(), absl::InternalError("the engine gave no result for this image"));
  }
  metrics_.ObserveBatch(images, images * tokens_);
  EndRun(worker, begin);
  for (size_t i = 0; i < batch.size(); ++i) {
    const absl::Duration queued = begin - batch[i].submitted;
    metrics_.ObserveStage(model_, Stage::kQueue, queued);
    metrics_.ObserveStage(model_, Stage::kCompute, compute);
    if (!results[i].ok()) {
      Answer(std::move(batch[i].task), std::move(results[i]).status());
      continue;
    }
    const std::vector<int>& merged = results[i]->merged_per_block;
    metrics_.ObserveMerging(model_, tokens_, std::accumulate(merged.begin(), merged.end(), 0));
    Answer(std::move(batch[i].task), EmbedResult{.image = *std::move(results[i]),
                                                 .queued = queued,
                                                 .compute = compute,
                                                 .batch_images = images});
  }
}

}  // namespace tome
