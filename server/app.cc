#include "server/app.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include "server/base/available_cores.h"
#include "server/base/log.h"
#include "server/base/status.h"
#include "server/engine/self_test.h"
#include "server/engine/torch_engine.h"
#include "server/engine/warm_up.h"
#include "server/rpc/credentials.h"

namespace tome {
namespace {

constexpr int kWarmUpImages = 8;

// The same error, with what it is about in front.
absl::Status About(absl::string_view what, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(what, ": ", status.message()));
}

int ThreadsOrCores(int threads) { return threads > 0 ? threads : AvailableCores(); }

EmbeddingService::Options ServiceOptions(const ServerConfig& config) {
  return {.image_limits = {.max_bytes = config.max_image_bytes,
                           .max_pixels = config.max_image_pixels,
                           .max_side = config.max_image_side,
                           .max_scans = config.max_jpeg_scans,
                           .max_chunks = config.max_image_chunks},
          .default_timeout = config.default_timeout,
          .maximum_timeout = config.maximum_timeout};
}

// The list of a per-block default is only now seen beside the model's blocks.
absl::Status CheckDefaultSchedule(const MergeSchedule& schedule, int blocks) {
  const auto* per_block = std::get_if<MergeSchedule::PerBlock>(&schedule.kind());
  if (per_block == nullptr || static_cast<int>(per_block->r.size()) <= blocks) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("default-r: lists ", per_block->r.size(), " blocks, the model has ", blocks));
}

}  // namespace

absl::StatusOr<std::unique_ptr<App>> App::Create(const ServerConfig& config) {
  absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> credentials =
      MakeServerCredentials({.certificate = config.tls_certificate_file,
                             .key = config.tls_key_file,
                             .client_ca = config.tls_client_ca_file});
  if (!credentials.ok()) return About("TLS", credentials.status());
  BearerTokens tokens;
  if (!config.auth_tokens_file.empty()) {
    absl::StatusOr<BearerTokens> read = BearerTokens::FromFile(config.auth_tokens_file);
    if (!read.ok()) return About("auth-tokens-file", read.status());
    tokens = *std::move(read);
    if (config.tls_certificate_file.empty()) {
      LogWarning("bearer tokens travel in plain text without tls-certificate-file");
    }
  }
  return std::unique_ptr<App>(new App(config, *std::move(credentials), std::move(tokens)));
}

App::App(const ServerConfig& config, std::shared_ptr<grpc::ServerCredentials> credentials,
         BearerTokens tokens)
    : config_(config),
      credentials_(std::move(credentials)),
      compute_threads_(ThreadsOrCores(config.compute_threads)),
      clock_(Clock::Steady()),
      admission_(config.max_admitted_images, clock_, metrics_),
      decode_pool_("decode", ThreadsOrCores(config.decode_threads)),
      service_(admission_, decode_pool_, clock_, metrics_, ServiceOptions(config)),
      rpc_(service_, metrics_, clock_,
           {.tokens = std::move(tokens),
            .max_message_bytes = config.max_message_bytes,
            .max_stream_images = config.max_stream_images}) {}

App::~App() {
  if (server_ != nullptr) server_->Shutdown(absl::ZeroDuration());
  // The last answers are on their way back through the service.
  service_.WaitUntilIdle(absl::InfiniteFuture());
}

absl::Status App::Start() {
  TOME_RETURN_IF_ERROR(Listen());
  LogInfo("starting", {{"version", TOME_VERSION},
                       {"listen", server_->address()},
                       {"metrics", MetricsAddress()},
                       {"models", config_.models.size()},
                       {"compute_threads", compute_threads_}});
  std::vector<ServedModel> served;
  for (const ModelConfig& model : config_.models) {
    absl::StatusOr<Model> loaded = LoadModel(model);
    if (StopRequested()) return absl::OkStatus();
    if (!loaded.ok()) return About(absl::StrCat("model ", model.name), loaded.status());
    served.push_back({.name = model.name,
                      .facts = &loaded->engine->facts(),
                      .batcher = loaded->batcher.get(),
                      .default_schedule = model.default_schedule});
    models_.push_back(*std::move(loaded));
  }
  for (const Model& model : models_) model.batcher->Start();
  service_.Serve(std::move(served));
  server_->SetServing(true);
  metrics_.SetServerState(ServerState::kServing);
  serving_ = true;
  // Scripts wait for this line and read the ports from it.
  LogInfo("serving", {{"listen", server_->address()}, {"metrics", MetricsAddress()}});
  return absl::OkStatus();
}

absl::Status App::Listen() {
  if (!config_.metrics_listen.empty()) {
    TOME_ASSIGN_OR_RETURN(exposer_, MetricsExposer::Start(config_.metrics_listen, metrics_));
  }
  TOME_ASSIGN_OR_RETURN(server_, RpcServer::Start({.listen = config_.listen,
                                                   .credentials = credentials_,
                                                   .max_message_bytes = config_.max_message_bytes},
                                                  rpc_));
  return absl::OkStatus();
}

absl::StatusOr<App::Model> App::LoadModel(const ModelConfig& config) {
  const absl::Time begin = clock_.Now();
  Model model;
  TOME_ASSIGN_OR_RETURN(model.engine, LoadTorchEngine({.directory = config.directory,
                                                       .dtype = config.dtype,
                                                       .compute_threads = compute_threads_,
                                                       .warm_up = true}));
  const ModelFacts& facts = model.engine->facts();
  TOME_RETURN_IF_ERROR(CheckDefaultSchedule(config.default_schedule, facts.blocks));
  const absl::Duration load = clock_.Now() - begin;
  TOME_RETURN_IF_ERROR(CheckNotStopped());
  const int largest =
      std::clamp(config_.max_batch_tokens / facts.tokens(), 1, config_.max_batch_images);
  const std::array<int, 2> sizes = {1, std::min(largest, kWarmUpImages)};
  TOME_ASSIGN_OR_RETURN(const absl::Duration warm_up, WarmUp(*model.engine, sizes, clock_));
  TOME_RETURN_IF_ERROR(CheckNotStopped());
  TOME_RETURN_IF_ERROR(SelfTest(*model.engine));
  LogInfo("model ready", {{"model", config.name},
                          {"architecture", facts.architecture},
                          {"dtype", facts.dtype},
                          {"weights_digest", facts.weights_digest},
                          {"load", absl::FormatDuration(load)},
                          {"warm_up", absl::FormatDuration(warm_up)}});
  model.batcher = std::make_unique<Batcher>(config.name, *model.engine, clock_, metrics_,
                                            Batcher::Limits{
                                                .max_images = config_.max_batch_images,
                                                .max_tokens = config_.max_batch_tokens,
                                                .max_delay = config_.max_batch_delay,
                                            });
  return model;
}

void App::RequestStop() {
  MutexLock lock(mu_);
  stop_requested_ = true;
  stop_.NotifyAll();
}

bool App::StopRequested() {
  MutexLock lock(mu_);
  return stop_requested_;
}

absl::Status App::CheckNotStopped() {
  return StopRequested() ? absl::CancelledError("stopped") : absl::OkStatus();
}

void App::AwaitStop() {
  MutexLock lock(mu_);
  while (!stop_requested_) stop_.Wait(mu_);
}

void App::Drain() {
  metrics_.SetServerState(ServerState::kDraining);
  if (serving_) {
    server_->SetServing(false);
    LogInfo("draining: health is NOT_SERVING, calls are still accepted",
            {{"delay", absl::FormatDuration(config_.drain_delay)}});
    std::this_thread::sleep_for(absl::ToChronoNanoseconds(config_.drain_delay));
  }
  LogInfo("draining: no more calls are accepted",
          {{"grace", absl::FormatDuration(config_.drain_grace)}});
  const absl::Time begin = clock_.Now();
  service_.Drain();
  rpc_.EndStreams();
  server_->Shutdown(config_.drain_grace);
  LogInfo("drained", {{"took", absl::FormatDuration(clock_.Now() - begin)}});
}

std::string App::MetricsAddress() const {
  if (exposer_ == nullptr) return "off";
  const absl::string_view listen = config_.metrics_listen;
  return absl::StrCat(listen.substr(0, listen.rfind(':')), ":", exposer_->port());
}

}  // namespace tome
