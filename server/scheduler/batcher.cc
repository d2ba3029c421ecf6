#include "server/scheduler/batcher.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include "server/base/log.h"
#include "server/base/thread_pool.h"
#include "server/scheduler/drop.h"

namespace tome {
namespace {

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
    : model_(std::move(model)),
      engine_(engine),
      clock_(clock),
      metrics_(metrics),
      max_delay_(limits.max_delay),
      images_per_batch_(ImagesPerBatch(limits, engine.facts().tokens())) {}

Batcher::~Batcher() { Stop(); }

void Batcher::Start() {
  MutexLock lock(thread_mu_);
  compute_thread_ = std::thread([this] {
    SetThreadName(absl::StrCat("compute-", model_));
    RunBatches();
  });
}

void Batcher::Submit(EmbedTask task) {
  {
    MutexLock lock(mu_);
    if (!stopping_) {
      queue_.push_back({.task = std::move(task), .submitted = clock_.Now()});
      metrics_.AddQueueImages(1);
      work_.NotifyOne();
      return;
    }
  }
  Answer(std::move(task), absl::UnavailableError("stopping: call another server"));
}

void Batcher::Stop() {
  MutexLock lock(thread_mu_);
  {
    MutexLock queue_lock(mu_);
    stopping_ = true;
    work_.NotifyAll();
  }
  if (compute_thread_.joinable()) compute_thread_.join();
  // What is left if no compute thread ran.
  while (RunOneBatch()) {
  }
}

void Batcher::RunBatches() {
  while (AwaitBatch()) RunOneBatch();
}

bool Batcher::AwaitBatch() {
  MutexLock lock(mu_);
  while (queue_.empty() && !stopping_) work_.Wait(mu_);
  if (queue_.empty()) return false;
  const absl::Time due = queue_.front().submitted + max_delay_;
  while (!stopping_ && !IsFull() && clock_.Now() < due) clock_.WaitUntil(work_, mu_, due);
  return true;
}

bool Batcher::IsFull() const { return queue_.size() >= images_per_batch_; }

bool Batcher::RunOneBatch() {
  std::vector<Queued> batch;
  std::vector<std::pair<EmbedTask, absl::Status>> dropped;
  {
    MutexLock lock(mu_);
    if (queue_.empty()) return false;
    const absl::Time now = clock_.Now();
    while (!queue_.empty() && batch.size() < images_per_batch_) {
      Queued next = std::move(queue_.front());
      queue_.pop_front();
      absl::Status wanted = CheckStillWanted(now, next.task.deadline, next.task.cancellation,
                                             "the image's batch began", metrics_);
      if (wanted.ok()) {
        batch.push_back(std::move(next));
      } else {
        dropped.emplace_back(std::move(next.task), std::move(wanted));
      }
    }
    metrics_.AddQueueImages(-static_cast<int>(batch.size() + dropped.size()));
  }
  for (auto& [task, reason] : dropped) Answer(std::move(task), std::move(reason));
  if (!batch.empty()) Run(std::move(batch));
  return true;
}

void Batcher::Run(std::vector<Queued> batch) {
  const int images = static_cast<int>(batch.size());
  const int tokens = engine_.facts().tokens();
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
  std::vector<absl::StatusOr<EmbeddedImage>> results = engine_.Run(engine_images);
  const absl::Duration compute = clock_.Now() - begin;

  if (results.size() != batch.size()) {
    LogError("the engine's results do not match its batch",
             {{"model", model_}, {"images", images}, {"results", results.size()}});
    results.resize(batch.size(), absl::InternalError("the engine gave no result for this image"));
  }
  metrics_.ObserveBatch(images, images * tokens);
  metrics_.EngineBusy(engine_.facts().device, compute);
  for (size_t i = 0; i < batch.size(); ++i) {
    const absl::Duration queued = begin - batch[i].submitted;
    metrics_.ObserveStage(model_, Stage::kQueue, queued);
    metrics_.ObserveStage(model_, Stage::kCompute, compute);
    if (!results[i].ok()) {
      Answer(std::move(batch[i].task), std::move(results[i]).status());
      continue;
    }
    const std::vector<int>& merged = results[i]->merged_per_block;
    metrics_.ObserveMerging(model_, tokens, std::accumulate(merged.begin(), merged.end(), 0));
    Answer(std::move(batch[i].task), EmbedResult{.image = *std::move(results[i]),
                                                 .queued = queued,
                                                 .compute = compute,
                                                 .batch_images = images});
  }
}

}  // namespace tome
