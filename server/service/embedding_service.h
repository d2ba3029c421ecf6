#ifndef TOME_SERVER_SERVICE_EMBEDDING_SERVICE_H_
#define TOME_SERVER_SERVICE_EMBEDDING_SERVICE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/base/cancellation.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/base/thread_pool.h"
#include "server/engine/engine.h"
#include "server/image/image.h"
#include "server/merge/merge_schedule.h"
#include "server/metrics/metrics.h"
#include "server/scheduler/admission.h"
#include "server/scheduler/batcher.h"
#include "server/service/input.h"
#include "server/service/vector.h"

namespace tome {

// One image's request. What its spans point at outlives the answer.
struct EmbedCall {
  std::string model;  // may be empty where one model is served
  std::string if_weights_digest;
  Input input;
  std::optional<MergeSchedule> schedule;  // absent: the model's default
  OutputSpec output;
  absl::Time deadline =
      absl::InfiniteFuture();  // on the service's clock; the server's bounds apply
  Cancellation cancellation;
};

struct StageTimes {
  std::optional<absl::Duration> decode;
  std::optional<absl::Duration> preprocess;
  absl::Duration queue;
  absl::Duration compute;
  int batch_images = 0;
};

struct EmbedAnswer {
  std::string model;
  std::string weights_digest;
  EncodedVector vector;
  std::vector<int> merged_per_block;
  int tokens_in = 0;
  int tokens_out = 0;
  double gflops = 0.0;
  double gflops_unmerged = 0.0;
  StageTimes times;
  int grid_height = 0;
  int grid_width = 0;
  std::optional<MergeMap> merge_map;
  std::vector<float> tokens;  // [tokens_out, token_dim] if asked for
  int token_dim = 0;
};

// A model as the service offers it. The pointers outlive the service.
struct ServedModel {
  std::string name;
  const ModelFacts* facts = nullptr;
  Batcher* batcher = nullptr;
  MergeSchedule default_schedule;
};

// One request's story: admission, decode and preprocessing on the decode pool, the batcher, then
// the vector in the form the caller wants. No gRPC type. Thread-safe. Destroy it when idle.
class EmbeddingService {
 public:
  struct Options {
    ImageLimits image_limits;
    absl::Duration default_timeout = absl::Seconds(30);  // of a call without a deadline
    absl::Duration maximum_timeout =
        absl::Minutes(5);  // a later deadline is brought forward to this
  };

  // The references outlive the service.
  EmbeddingService(Admission& admission, ThreadPool& decode_pool, Clock& clock, Metrics& metrics,
                   const Options& options);

  // From now on these models are served; before, every call is UNAVAILABLE (starting). Call once.
  // REQUIRES: at least one model, names unique.
  void Serve(std::vector<ServedModel> models) ABSL_LOCKS_EXCLUDED(mu_);

  // From now on every new call is UNAVAILABLE (draining); those under way finish.
  void Drain() ABSL_LOCKS_EXCLUDED(mu_);

  // Waits until no call is under way, or until `deadline`; whether none is.
  bool WaitUntilIdle(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mu_);

  // `done` is called exactly once, possibly before Embed returns, on any thread; the call's permit
  // is given back by then. Short: the engine may wait for it. Fields in errors are EmbedRequest's.
  void Embed(EmbedCall call, absl::AnyInvocable<void(absl::StatusOr<EmbedAnswer>)> done)
      ABSL_LOCKS_EXCLUDED(mu_);

  // UNAVAILABLE before Serve.
  absl::StatusOr<std::vector<ServedModel>> ListModels() const ABSL_LOCKS_EXCLUDED(mu_);
  // NOT_FOUND with the names there are; an empty name means the only model.
  absl::StatusOr<ServedModel> GetModel(const std::string& name) const ABSL_LOCKS_EXCLUDED(mu_);

  const Options& options() const { return options_; }

 private:
  using Models = std::vector<ServedModel>;
  struct Request;

  // The models, or UNAVAILABLE before Serve.
  absl::StatusOr<std::shared_ptr<const Models>> Snapshot() const ABSL_LOCKS_EXCLUDED(mu_);

  // The request's steps, each on the thread that reached it. Every way through them ends in one
  // Finish.
  void Begin(std::shared_ptr<Request> request);
  void Prepare(std::shared_ptr<Request> request);
  void Encode(const std::shared_ptr<Request>& request, absl::StatusOr<EmbedResult> result);
  void Finish(Request& request, absl::StatusOr<EmbedAnswer> answer) ABSL_LOCKS_EXCLUDED(mu_);

  // What can be told wrong before the image costs anything. Also fills in the request's merges and
  // brings its deadline within the bounds.
  absl::Status Check(Request& request) const;

  // Constant after construction.
  const Options options_;
  Admission& admission_;
  ThreadPool& decode_pool_;
  Clock& clock_;
  Metrics& metrics_;

  mutable Mutex mu_;
  Condition idle_;
  // Replaced as a whole, never changed: a request keeps the models it began with.
  std::shared_ptr<const Models> models_ ABSL_GUARDED_BY(mu_);
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  int calls_under_way_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace tome

#endif  // TOME_SERVER_SERVICE_EMBEDDING_SERVICE_H_
