#include "server/service/embedding_service.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

#include "server/base/status.h"
#include "server/merge/flops.h"
#include "server/scheduler/drop.h"

namespace tome {
namespace {

// What a caller sent, fit for an error message: printable, and no longer than a digest, so that the
// message fits the trailer it travels in.
std::string Quoted(absl::string_view sent) {
  constexpr size_t kLongest = 64;
  return absl::StrCat("\"", absl::CHexEscape(sent.substr(0, kLongest)),
                      sent.size() > kLongest ? "...\"" : "\"");
}

absl::Status StartingError() { return absl::UnavailableError("starting: no model is served yet"); }

absl::Status DrainingError() { return absl::UnavailableError("draining: call another server"); }

absl::StatusOr<const ServedModel*> FindModel(const std::vector<ServedModel>& models,
                                             absl::string_view name) {
  if (name.empty() && models.size() == 1) return &models.front();
  for (const ServedModel& model : models) {
    if (model.name == name) return &model;
  }
  const std::string names = absl::StrJoin(
      models, ", ",
      [](std::string* out, const ServedModel& model) { absl::StrAppend(out, model.name); });
  return absl::NotFoundError(
      name.empty() ? absl::StrCat("no model named; this server holds several: ", names)
                   : absl::StrCat("no model ", Quoted(name), "; this server holds: ", names));
}

// r of each block, before the cap.
absl::StatusOr<std::vector<int>> MergesPerBlock(const MergeSchedule& schedule, int blocks) {
  const auto* per_block = std::get_if<MergeSchedule::PerBlock>(&schedule.kind());
  if (per_block != nullptr && static_cast<int>(per_block->r.size()) > blocks) {
    return InvalidField(
        "merge.per_block",
        absl::StrCat(per_block->r.size(), " values, the model has ", blocks, " blocks"));
  }
  return schedule.PerBlockMerges(blocks);
}

// Of a constant r that the model's profile covers; it was measured of whole embeddings by the
// model's own pooling.
std::optional<double> ExpectedFidelity(const ModelFacts& facts, const MergeSchedule& schedule,
                                       const OutputSpec& output) {
  const auto* constant = std::get_if<MergeSchedule::Constant>(&schedule.kind());
  const bool measured =
      output.pooling == Pooling::kModelsOwn &&
      (output.dimensions == 0 || output.dimensions == facts.EmbeddingDim(output.pooling));
  if (constant == nullptr || !facts.profile.has_value() || !measured) return std::nullopt;
  return facts.profile->FidelityAt(constant->r);
}

absl::Status CheckDigest(const std::string& asked_for, const ModelFacts& facts) {
  if (asked_for.empty() || asked_for == facts.weights_digest) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("if_weights_digest: ", Quoted(asked_for),
                                                    " asked for, the model's weights are ",
                                                    Quoted(facts.weights_digest)));
}

absl::Status CheckOutput(const OutputSpec& output, const ModelFacts& facts) {
  if (output.pooling == Pooling::kClassToken && !facts.class_token) {
    return InvalidField("output.pooling",
                        "POOLING_CLASS_TOKEN, but this model has no class token; leave pooling out "
                        "for the model's own, or ask for POOLING_MEAN");
  }
  const int dimensions = facts.EmbeddingDim(output.pooling);
  if (output.dimensions >= 0 && output.dimensions <= dimensions) return absl::OkStatus();
  return InvalidField("output.dimensions",
                      absl::StrCat(output.dimensions, " is outside [0, ", dimensions,
                                   "], the model's embedding dimensions"));
}

// No answer for one image is longer as a message, unless final tokens or model pixels are part of
// it.
int64_t LongestAnswerBytes(const ModelFacts& facts) {
  // Of an error: its text twice, cut at 1 KiB, the field and the request's id.
  constexpr int64_t kError = 3072;
  // Of everything in an embedding that is neither a list nor the vector.
  constexpr int64_t kScalars = 256;
  // Of a count or index as a varint; none comes near 2^21.
  constexpr int64_t kVarint = 3;
  constexpr int64_t kFloat = sizeof(float);
  const int64_t patches = facts.tokens() - facts.prefix_tokens;
  const int longest = std::max(facts.embedding_dim, facts.EmbeddingDim(Pooling::kMean));
  return std::max(kError, kScalars + kFloat * longest + kVarint * facts.blocks + kVarint * patches +
                              kFloat * facts.tokens());
}

double Gflops(const ModelFacts& facts, std::span<const int> merged_per_block) {
  return BlockFlops(facts.block_shape, facts.tokens(), merged_per_block) * 1e-9;
}

EmbedAnswer MakeAnswer(const ServedModel& model, const OutputSpec& output, EmbeddedImage image) {
  const ModelFacts& facts = *model.facts;
  EmbedAnswer answer;
  answer.model = model.name;
  answer.weights_digest = facts.weights_digest;
  answer.vector = EncodeVector(image.embedding, output);
  answer.tokens_in = facts.tokens();
  answer.tokens_out = image.tokens_out;
  answer.gflops = Gflops(facts, image.merged_per_block);
  answer.gflops_unmerged = Gflops(facts, std::vector<int>(facts.blocks, 0));
  answer.merged_per_block = std::move(image.merged_per_block);
  answer.grid_height = facts.grid_height;
  answer.grid_width = facts.grid_width;
  answer.merge_map = std::move(image.merge_map);
  answer.tokens = std::move(image.tokens);
  answer.token_dim = facts.block_shape.token_dim;
  answer.model_height = facts.preprocessing.crop_height;
  answer.model_width = facts.preprocessing.crop_width;
  return answer;
}

}  // namespace

// What the images of one call share.
struct EmbeddingService::Terms {
  std::shared_ptr<const Models> models;  // keeps `model`
  const ServedModel* model = nullptr;    // null until it is found
  OutputSpec output;
  absl::Time deadline;
  Cancellation cancellation;
};

// An image from its arrival to its answer.
struct EmbeddingService::Request {
  Terms terms;
  Input input;
  std::vector<int> merges_per_block;
  std::optional<double> expected_fidelity;
  Permit permit;
  StageTimes times;
  std::vector<uint8_t> model_pixels;  // if asked for
  absl::AnyInvocable<void(absl::StatusOr<EmbedAnswer>)> done;
};

// The results of a batch as they come, each in its own place.
struct EmbeddingService::Batch {
  EmbedBatchAnswer answer;
  std::atomic<size_t> missing;
  absl::AnyInvocable<void(absl::StatusOr<EmbedBatchAnswer>)> done;

  void Take(size_t index, absl::StatusOr<EmbedAnswer> result) {
    if (!result.ok()) {
      result = WithFieldParent(result.status(), absl::StrCat("items[", index, "]"));
    }
    answer.results[index] = std::move(result);
    if (missing.fetch_sub(1, std::memory_order_acq_rel) == 1) done(std::move(answer));
  }
};

EmbeddingService::EmbeddingService(ThreadPool& decode_pool, Clock& clock, Metrics& metrics,
                                   const Options& options)
    : options_(options), decode_pool_(decode_pool), clock_(clock), metrics_(metrics) {}

void EmbeddingService::Serve(std::vector<ServedModel> models) {
  for (const ServedModel& model : models) {
    metrics_.AddModel(model.name, {.architecture = model.facts->architecture,
                                   .dtype = model.facts->dtype,
                                   .device = model.facts->device,
                                   .weights_digest = model.facts->weights_digest});
  }
  {
    MutexLock lock(references_->mu);
    ++references_->sets;
  }
  std::shared_ptr<const Models> served(new Models(std::move(models)),
                                       [references = references_](const Models* unreferenced) {
                                         delete unreferenced;
                                         MutexLock lock(references->mu);
                                         --references->sets;
                                         references->fewer.NotifyAll();
                                       });
  MutexLock lock(mu_);
  // The replaced ones go with `served`, outside the lock.
  models_.swap(served);
}

void EmbeddingService::AwaitReplaced() const {
  MutexLock lock(references_->mu);
  while (references_->sets > 1) references_->fewer.Wait(references_->mu);
}

void EmbeddingService::Drain() {
  MutexLock lock(mu_);
  draining_ = true;
}

bool EmbeddingService::WaitUntilIdle(absl::Time deadline) {
  MutexLock lock(mu_);
  while (images_under_way_ > 0 && clock_.Now() < deadline) clock_.WaitUntil(idle_, mu_, deadline);
  return images_under_way_ == 0;
}

absl::Status EmbeddingService::CheckAccepts() const {
  MutexLock lock(mu_);
  if (draining_) return DrainingError();
  return models_ == nullptr ? StartingError() : absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const std::vector<ServedModel>>> EmbeddingService::ListModels()
    const {
  MutexLock lock(mu_);
  if (models_ == nullptr) return StartingError();
  return models_;
}

absl::StatusOr<std::shared_ptr<const ServedModel>> EmbeddingService::GetModel(
    const std::string& name) const {
  TOME_ASSIGN_OR_RETURN(const std::shared_ptr<const Models> models, ListModels());
  TOME_ASSIGN_OR_RETURN(const ServedModel* const model, FindModel(*models, name));
  return std::shared_ptr<const ServedModel>(models, model);
}

int EmbeddingService::ImagesPerCall(const ServedModel& model) const {
  constexpr int64_t kAnswerBytes = int64_t{4} << 20;
  return static_cast<int>(
      std::min<int64_t>(model.admission->max_images(),
                        std::max<int64_t>(1, kAnswerBytes / LongestAnswerBytes(*model.facts))));
}

template <typename AnyCall>
absl::Status EmbeddingService::Enter(const AnyCall& call, int images, Terms& terms,
                                     bool even_draining) {
  bool draining = false;
  {
    MutexLock lock(mu_);
    images_under_way_ += images;
    terms.models = models_;
    draining = draining_ && !even_draining;
  }
  if (terms.models != nullptr) {
    absl::StatusOr<const ServedModel*> model = FindModel(*terms.models, call.model);
    if (model.ok()) terms.model = *model;
    if (!draining && !model.ok()) return model.status();
  }
  if (draining) return DrainingError();
  if (terms.models == nullptr) return StartingError();

  TOME_RETURN_IF_ERROR(CheckDigest(call.if_weights_digest, *terms.model->facts));
  TOME_RETURN_IF_ERROR(CheckOutput(call.output, *terms.model->facts));
  terms.output = call.output;
  terms.cancellation = call.cancellation;
  const absl::Time now = clock_.Now();
  const absl::Time deadline =
      call.deadline == absl::InfiniteFuture() ? now + options_.default_timeout : call.deadline;
  terms.deadline = std::min(deadline, now + options_.maximum_timeout);
  return CheckStillWanted(now, terms.deadline, terms.cancellation, "the call began", metrics_,
                          images);
}

void EmbeddingService::CountEnd(const Terms& terms, int images, absl::StatusCode code) {
  if (terms.model != nullptr) metrics_.ImagesFinished(terms.model->name, code, images);
}

void EmbeddingService::Leave(int images) {
  MutexLock lock(mu_);
  images_under_way_ -= images;
  if (images_under_way_ == 0) idle_.NotifyAll();
}

absl::Status EmbeddingService::EnterImage(const EmbedCall& call, Request& request,
                                          bool even_draining) {
  request.input = call.input;
  TOME_RETURN_IF_ERROR(Enter(call, 1, request.terms, even_draining));
  const ServedModel& model = *request.terms.model;
  return Plan(call.schedule.value_or(model.default_schedule), request);
}

absl::Status EmbeddingService::Plan(const MergeSchedule& schedule, Request& request) {
  const ModelFacts& facts = *request.terms.model->facts;
  TOME_ASSIGN_OR_RETURN(request.merges_per_block, MergesPerBlock(schedule, facts.blocks));
  request.expected_fidelity = ExpectedFidelity(facts, schedule, request.terms.output);
  return absl::OkStatus();
}

void EmbeddingService::Embed(EmbedCall call,
                             absl::AnyInvocable<void(absl::StatusOr<EmbedAnswer>)> done) {
  auto request = std::make_shared<Request>();
  request->done = std::move(done);
  absl::Status entered = EnterImage(call, *request);
  if (!entered.ok()) return Finish(*request, std::move(entered));
  absl::StatusOr<Permit> permit = request->terms.model->admission->Admit(1);
  if (!permit.ok()) return Finish(*request, std::move(permit).status());
  request->permit = *std::move(permit);
  StartPreparing(std::move(request));
}

void EmbeddingService::EmbedOfStream(EmbedCall call, absl::AnyInvocable<void()> admitted,
                                     absl::AnyInvocable<void(absl::StatusOr<EmbedAnswer>)> done) {
  auto request = std::make_shared<Request>();
  request->done = std::move(done);
  absl::Status entered = EnterImage(call, *request, /*even_draining=*/true);
  if (!entered.ok()) return Finish(*request, std::move(entered));
  Admission& admission = *request->terms.model->admission;
  admission.AdmitWhenFree(
      [this, request = std::move(request), admitted = std::move(admitted)](Permit permit) mutable {
        request->permit = std::move(permit);
        admitted();
        StartPreparing(std::move(request));
      });
}

void EmbeddingService::EmbedBatch(EmbedBatchCall call,
                                  absl::AnyInvocable<void(absl::StatusOr<EmbedBatchAnswer>)> done) {
  const int images = static_cast<int>(call.items.size());
  Terms terms;
  Permit permit;
  const absl::Status accepted = [&]() -> absl::Status {
    TOME_RETURN_IF_ERROR(Enter(call, images, terms));
    const int limit = ImagesPerCall(*terms.model);
    if (images == 0 || images > limit) {
      return InvalidField("items",
                          absl::StrCat(images, " images, a call to this model takes 1 to ", limit));
    }
    if (call.schedule.has_value()) {
      TOME_RETURN_IF_ERROR(MergesPerBlock(*call.schedule, terms.model->facts->blocks).status());
    }
    TOME_ASSIGN_OR_RETURN(permit, terms.model->admission->Admit(images));
    return absl::OkStatus();
  }();
  if (!accepted.ok()) {
    CountEnd(terms, images, accepted.code());
    std::exchange(done, nullptr)(accepted);
    return Leave(images);
  }

  const ServedModel& model = *terms.model;
  auto batch = std::make_shared<Batch>();
  batch->answer.model = model.name;
  batch->answer.weights_digest = model.facts->weights_digest;
  batch->answer.results.resize(images, absl::UnknownError("no result yet"));
  batch->missing = call.items.size();
  batch->done = std::move(done);
  const MergeSchedule& schedule =
      call.schedule.has_value() ? *call.schedule : model.default_schedule;
  for (size_t i = 0; i < call.items.size(); ++i) {
    auto request = std::make_shared<Request>();
    request->terms = terms;
    request->permit = permit.Split(1);
    request->done = [batch, i](absl::StatusOr<EmbedAnswer> result) {
      batch->Take(i, std::move(result));
    };
    const absl::Status prepared = [&]() -> absl::Status {
      const absl::StatusOr<EmbedBatchCall::Item>& item = call.items[i];
      if (!item.ok()) return item.status();
      request->input = item->input;
      return Plan(item->schedule.value_or(schedule), *request);
    }();
    if (!prepared.ok()) {
      Finish(*request, prepared);
    } else {
      StartPreparing(std::move(request));
    }
  }
}

void EmbeddingService::StartPreparing(std::shared_ptr<Request> request) {
  decode_pool_.Submit([this, request = std::move(request)] { Prepare(request); });
}

void EmbeddingService::Prepare(std::shared_ptr<Request> request) {
  const Terms& terms = request->terms;
  const ServedModel& model = *terms.model;
  absl::Status wanted = CheckStillWanted(clock_.Now(), terms.deadline, terms.cancellation,
                                         "the image was decoded", metrics_);
  if (!wanted.ok()) return Finish(*request, std::move(wanted));

  absl::StatusOr<PreparedInput> prepared =
      PrepareInput(request->input, model.facts->preprocessing, options_.image_limits, clock_);
  if (!prepared.ok()) return Finish(*request, std::move(prepared).status());
  request->times.decode = prepared->decode;
  request->times.preprocess = prepared->preprocess;
  if (prepared->decode) metrics_.ObserveStage(model.name, Stage::kDecode, *prepared->decode);
  if (prepared->preprocess) {
    metrics_.ObserveStage(model.name, Stage::kPreprocess, *prepared->preprocess);
  }

  if (terms.output.model_pixels) request->model_pixels = prepared->pixels;
  EmbedTask task;
  task.pixels = std::move(prepared->pixels);
  task.merges_per_block = std::move(request->merges_per_block);
  task.pooling = terms.output.pooling;
  task.want_tokens = terms.output.tokens;
  task.want_merge_map = terms.output.merge_map;
  task.deadline = terms.deadline;
  task.cancellation = terms.cancellation;
  task.done = [this, request = std::move(request)](absl::StatusOr<EmbedResult> result) {
    Encode(request, std::move(result));
  };
  model.batcher->Submit(std::move(task));
}

void EmbeddingService::Encode(const std::shared_ptr<Request>& request,
                              absl::StatusOr<EmbedResult> result) {
  if (!result.ok()) return Finish(*request, std::move(result).status());
  const absl::Time begin = clock_.Now();
  const Terms& terms = request->terms;
  EmbedAnswer answer = MakeAnswer(*terms.model, terms.output, std::move(result->image));
  request->times.queue = result->queued;
  request->times.compute = result->compute;
  request->times.batch_images = result->batch_images;
  answer.times = request->times;
  answer.model_pixels = std::move(request->model_pixels);
  answer.expected_fidelity = request->expected_fidelity;
  if (answer.expected_fidelity.has_value()) {
    metrics_.ObserveExpectedFidelity(terms.model->name, *answer.expected_fidelity);
  }
  metrics_.ObserveStage(terms.model->name, Stage::kEncode, clock_.Now() - begin);
  Finish(*request, std::move(answer));
}

void EmbeddingService::Finish(Request& request, absl::StatusOr<EmbedAnswer> answer) {
  CountEnd(request.terms, 1, answer.status().code());
  // Before the answer: a caller that sends its next image on it finds the place free.
  request.permit = Permit();
  {
    // What the caller captured goes before the service counts as idle.
    auto done = std::move(request.done);
    done(std::move(answer));
  }
  Leave(1);
}

}  // namespace tome
