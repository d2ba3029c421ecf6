#include "server/service/embedding_service.h"

#include <algorithm>
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

absl::Status CheckSchedule(const MergeSchedule& schedule, int blocks) {
  const auto* per_block = std::get_if<MergeSchedule::PerBlock>(&schedule.kind());
  if (per_block == nullptr || static_cast<int>(per_block->r.size()) <= blocks) {
    return absl::OkStatus();
  }
  return InvalidField(
      "merge.per_block",
      absl::StrCat(per_block->r.size(), " values, the model has ", blocks, " blocks"));
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
  return answer;
}

}  // namespace

// A call from its arrival to its answer.
struct EmbeddingService::Request {
  EmbedCall call;
  absl::AnyInvocable<void(absl::StatusOr<EmbedAnswer>)> done;
  std::shared_ptr<const Models> models;  // keeps `model`
  const ServedModel* model = nullptr;    // null until it is found
  std::vector<int> merges_per_block;
  Permit permit;
  StageTimes times;
};

EmbeddingService::EmbeddingService(Admission& admission, ThreadPool& decode_pool, Clock& clock,
                                   Metrics& metrics, const Options& options)
    : options_(options),
      admission_(admission),
      decode_pool_(decode_pool),
      clock_(clock),
      metrics_(metrics) {}

void EmbeddingService::Serve(std::vector<ServedModel> models) {
  for (const ServedModel& model : models) {
    metrics_.AddModel(model.name, {.architecture = model.facts->architecture,
                                   .dtype = model.facts->dtype,
                                   .device = model.facts->device,
                                   .weights_digest = model.facts->weights_digest});
  }
  MutexLock lock(mu_);
  models_ = std::make_shared<const Models>(std::move(models));
}

void EmbeddingService::Drain() {
  MutexLock lock(mu_);
  draining_ = true;
}

bool EmbeddingService::WaitUntilIdle(absl::Time deadline) {
  MutexLock lock(mu_);
  while (calls_under_way_ > 0 && clock_.Now() < deadline) clock_.WaitUntil(idle_, mu_, deadline);
  return calls_under_way_ == 0;
}

absl::StatusOr<std::shared_ptr<const EmbeddingService::Models>> EmbeddingService::Snapshot() const {
  MutexLock lock(mu_);
  if (models_ == nullptr) return StartingError();
  return models_;
}

absl::StatusOr<std::vector<ServedModel>> EmbeddingService::ListModels() const {
  TOME_ASSIGN_OR_RETURN(const std::shared_ptr<const Models> models, Snapshot());
  return *models;
}

absl::StatusOr<ServedModel> EmbeddingService::GetModel(const std::string& name) const {
  TOME_ASSIGN_OR_RETURN(const std::shared_ptr<const Models> models, Snapshot());
  TOME_ASSIGN_OR_RETURN(const ServedModel* const model, FindModel(*models, name));
  return *model;
}

void EmbeddingService::Embed(EmbedCall call,
                             absl::AnyInvocable<void(absl::StatusOr<EmbedAnswer>)> done) {
  auto request = std::make_shared<Request>();
  request->call = std::move(call);
  request->done = std::move(done);
  absl::Status state;
  {
    MutexLock lock(mu_);
    ++calls_under_way_;
    request->models = models_;
    if (draining_) {
      state = absl::UnavailableError("draining: call another server");
    } else if (models_ == nullptr) {
      state = StartingError();
    }
  }
  if (request->models != nullptr) {
    absl::StatusOr<const ServedModel*> model = FindModel(*request->models, request->call.model);
    if (model.ok()) {
      request->model = *model;
    } else {
      state.Update(model.status());
    }
  }
  if (!state.ok()) return Finish(*request, std::move(state));
  Begin(std::move(request));
}

absl::Status EmbeddingService::Check(Request& request) const {
  EmbedCall& call = request.call;
  const ModelFacts& facts = *request.model->facts;
  if (!call.if_weights_digest.empty() && call.if_weights_digest != facts.weights_digest) {
    return absl::FailedPreconditionError(
        absl::StrCat("if_weights_digest: ", Quoted(call.if_weights_digest),
                     " asked for, the model's weights are ", Quoted(facts.weights_digest)));
  }
  const MergeSchedule& schedule =
      call.schedule.has_value() ? *call.schedule : request.model->default_schedule;
  TOME_RETURN_IF_ERROR(CheckSchedule(schedule, facts.blocks));
  if (call.output.pooling == Pooling::kClassToken && !facts.class_token) {
    return InvalidField("output.pooling",
                        "POOLING_CLASS_TOKEN, but this model has no class token; leave pooling out "
                        "for the model's own, or ask for POOLING_MEAN");
  }
  const int dimensions = facts.EmbeddingDim(call.output.pooling);
  if (call.output.dimensions < 0 || call.output.dimensions > dimensions) {
    return InvalidField("output.dimensions",
                        absl::StrCat(call.output.dimensions, " is outside [0, ", dimensions,
                                     "], the model's embedding dimensions"));
  }
  request.merges_per_block = schedule.PerBlockMerges(facts.blocks);
  const absl::Time now = clock_.Now();
  if (call.deadline == absl::InfiniteFuture()) call.deadline = now + options_.default_timeout;
  call.deadline = std::min(call.deadline, now + options_.maximum_timeout);
  return CheckStillWanted(now, call.deadline, call.cancellation, "the call began", metrics_);
}

void EmbeddingService::Begin(std::shared_ptr<Request> request) {
  if (absl::Status status = Check(*request); !status.ok()) {
    return Finish(*request, std::move(status));
  }
  absl::StatusOr<Permit> permit = admission_.Admit(1);
  if (!permit.ok()) return Finish(*request, std::move(permit).status());
  request->permit = *std::move(permit);
  decode_pool_.Submit([this, request = std::move(request)] { Prepare(request); });
}

void EmbeddingService::Prepare(std::shared_ptr<Request> request) {
  const EmbedCall& call = request->call;
  const ServedModel& model = *request->model;
  absl::Status wanted = CheckStillWanted(clock_.Now(), call.deadline, call.cancellation,
                                         "the image was decoded", metrics_);
  if (!wanted.ok()) return Finish(*request, std::move(wanted));

  absl::StatusOr<PreparedInput> prepared =
      PrepareInput(call.input, model.facts->preprocessing, options_.image_limits, clock_);
  if (!prepared.ok()) return Finish(*request, std::move(prepared).status());
  request->times.decode = prepared->decode;
  request->times.preprocess = prepared->preprocess;
  if (prepared->decode) metrics_.ObserveStage(model.name, Stage::kDecode, *prepared->decode);
  if (prepared->preprocess) {
    metrics_.ObserveStage(model.name, Stage::kPreprocess, *prepared->preprocess);
  }

  EmbedTask task;
  task.pixels = std::move(prepared->pixels);
  task.merges_per_block = std::move(request->merges_per_block);
  task.pooling = call.output.pooling;
  task.want_tokens = call.output.tokens;
  task.want_merge_map = call.output.merge_map;
  task.deadline = call.deadline;
  task.cancellation = call.cancellation;
  task.done = [this, request = std::move(request)](absl::StatusOr<EmbedResult> result) {
    Encode(request, std::move(result));
  };
  model.batcher->Submit(std::move(task));
}

void EmbeddingService::Encode(const std::shared_ptr<Request>& request,
                              absl::StatusOr<EmbedResult> result) {
  if (!result.ok()) return Finish(*request, std::move(result).status());
  const absl::Time begin = clock_.Now();
  EmbedAnswer answer = MakeAnswer(*request->model, request->call.output, std::move(result->image));
  request->times.queue = result->queued;
  request->times.compute = result->compute;
  request->times.batch_images = result->batch_images;
  answer.times = request->times;
  metrics_.ObserveStage(request->model->name, Stage::kEncode, clock_.Now() - begin);
  Finish(*request, std::move(answer));
}

void EmbeddingService::Finish(Request& request, absl::StatusOr<EmbedAnswer> answer) {
  if (request.model != nullptr) {
    metrics_.ImageFinished(request.model->name, answer.status().code());
  }
  // Before the answer: a caller that sends its next image on it finds the place free.
  request.permit = Permit();
  {
    // What the caller captured goes before the service counts as idle.
    auto done = std::move(request.done);
    done(std::move(answer));
  }
  MutexLock lock(mu_);
  --calls_under_way_;
  if (calls_under_way_ == 0) idle_.NotifyAll();
}

}  // namespace tome
