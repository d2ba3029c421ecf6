#ifndef TOME_SERVER_SERVICE_EMBEDDING_SERVICE_H_
#define TOME_SERVER_SERVICE_EMBEDDING_SERVICE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/base/thread_pool.h"
#include "server/engine/engine.h"
#include "server/image/image.h"
#include "server/merge/merge_schedule.h"
#include "server/metrics/metrics.h"
#include "server/scheduler/admission.h"
#include "server/scheduler/batcher.h"
#include "server/service/embed_call.h"

namespace tome {

// A model as the service offers it. What the pointers point at lives until the service has been
// given other models and AwaitReplaced has returned, or until the service is idle at its end.
struct ServedModel {
  std::string name;
  const ModelFacts* facts = nullptr;
  Admission* admission = nullptr;  // the model's share of the places
  Batcher* batcher = nullptr;
  MergeSchedule default_schedule;
};

// A call's story: admission, decode and preprocessing on the decode pool, the batcher, then
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
  EmbeddingService(ThreadPool& decode_pool, Clock& clock, Metrics& metrics, const Options& options);

  // From now on these models are served to new images; those under way keep the models they began
  // with. Before the first time every call is UNAVAILABLE (starting). REQUIRES: at least one model,
  // names unique.
  void Serve(std::vector<ServedModel> models) ABSL_LOCKS_EXCLUDED(mu_);

  // Waits until nothing refers to models that are served no more.
  void AwaitReplaced() const;

  // From now on every new call is UNAVAILABLE (draining); those under way finish.
  void Drain() ABSL_LOCKS_EXCLUDED(mu_);

  // Waits until no call is under way, or until `deadline`; whether none is.
  bool WaitUntilIdle(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mu_);

  // `done` is called exactly once, possibly before Embed returns, on any thread; the call's permit
  // is given back by then. Short: the engine may wait for it. Fields in errors are EmbedRequest's.
  void Embed(EmbedCall call, absl::AnyInvocable<void(absl::StatusOr<EmbedAnswer>)> done)
      ABSL_LOCKS_EXCLUDED(mu_);

  // As Embed for an image of a stream, which can be slowed down: it waits for its place instead of
  // being refused, and it is taken while the service drains, too, since its stream was. `admitted`
  // is called once it has its place, before `done`; not if it is refused without.
  void EmbedOfStream(EmbedCall call, absl::AnyInvocable<void()> admitted,
                     absl::AnyInvocable<void(absl::StatusOr<EmbedAnswer>)> done)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Likewise for all of a batch, which is admitted whole or not at all. What is wrong with one
  // image is that image's result; fields in errors are EmbedBatchRequest's. INVALID_ARGUMENT for no
  // image, or for more than ImagesPerCall.
  void EmbedBatch(EmbedBatchCall call,
                  absl::AnyInvocable<void(absl::StatusOr<EmbedBatchAnswer>)> done)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The images that one call may bring to a model: no more than could ever be admitted, nor than
  // fit an answer of 4 MiB, which is what gRPC's clients take by default, without final tokens and
  // model pixels.
  int ImagesPerCall(const ServedModel& model) const;

  // UNAVAILABLE before Serve and after Drain.
  absl::Status CheckAccepts() const ABSL_LOCKS_EXCLUDED(mu_);
  // UNAVAILABLE before Serve. What is returned keeps the models; let go of it soon.
  absl::StatusOr<std::shared_ptr<const std::vector<ServedModel>>> ListModels() const
      ABSL_LOCKS_EXCLUDED(mu_);
  // NOT_FOUND with the names there are; an empty name means the only model.
  absl::StatusOr<std::shared_ptr<const ServedModel>> GetModel(const std::string& name) const
      ABSL_LOCKS_EXCLUDED(mu_);

  const Options& options() const { return options_; }

 private:
  using Models = std::vector<ServedModel>;
  // How many sets of models something refers to. Outlives the last of them.
  struct References {
    Mutex mu;
    Condition fewer;
    int sets ABSL_GUARDED_BY(mu) = 0;
  };
  struct Terms;
  struct Request;
  struct Batch;

  // Both count the images of a call and check what it says of them, before they cost anything, and
  // fill in `terms` or `request` as far as they get. Each of the images must come to Leave.
  template <typename AnyCall>
  absl::Status Enter(const AnyCall& call, int images, Terms& terms, bool even_draining = false)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status EnterImage(const EmbedCall& call, Request& request, bool even_draining = false);
  // What the image's blocks merge. REQUIRES: the request has its terms.
  static absl::Status Plan(const MergeSchedule& schedule, Request& request);
  void Leave(int images) ABSL_LOCKS_EXCLUDED(mu_);
  void CountEnd(const Terms& terms, int images, absl::StatusCode code);

  // The steps of an admitted image, each on the thread that reached it. Every way through them
  // ends in one Finish.
  void StartPreparing(std::shared_ptr<Request> request);
  void Prepare(std::shared_ptr<Request> request);
  void Encode(const std::shared_ptr<Request>& request, absl::StatusOr<EmbedResult> result);
  void Finish(Request& request, absl::StatusOr<EmbedAnswer> answer) ABSL_LOCKS_EXCLUDED(mu_);

  // Constant after construction.
  const Options options_;
  ThreadPool& decode_pool_;
  Clock& clock_;
  Metrics& metrics_;
  const std::shared_ptr<References> references_ = std::make_shared<References>();

  mutable Mutex mu_;
  Condition idle_;
  // Replaced as a whole, never changed: a request keeps the models it began with.
  std::shared_ptr<const Models> models_ ABSL_GUARDED_BY(mu_);
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  int images_under_way_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace tome

#endif  // TOME_SERVER_SERVICE_EMBEDDING_SERVICE_H_
