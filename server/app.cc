#include "server/app.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include "server/base/available_cores.h"
#include "server/base/log.h"
#include "server/base/status.h"
#include "server/engine/cuda_engine.h"
#include "server/engine/cuda_module.h"
#include "server/engine/reference_check.h"
#include "server/engine/self_test.h"
#include "server/engine/torch_engine.h"
#include "server/metrics/gpu_collector.h"
#include "server/model/checkpoint.h"
#include "server/rpc/credentials.h"

namespace tome {
namespace {

// As long as calls that are on their way take to arrive.
constexpr std::chrono::milliseconds kRefusing(100);

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

// How NVML knows these devices.
absl::StatusOr<std::vector<GpuCollector::Gpu>> CudaGpus(const cuda::Table& module,
                                                        const std::vector<int>& devices) {
  std::vector<GpuCollector::Gpu> gpus;
  for (const int device : devices) {
    cuda::DeviceFacts facts;
    cuda::Message message;
    TOME_RETURN_IF_ERROR(ToStatus(module.device_facts(device, &facts, &message), message));
    gpus.push_back({.device = absl::StrCat("cuda:", device), .bus_id = facts.bus_id});
  }
  return gpus;
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
      decode_pool_("decode", ThreadsOrCores(config.decode_threads)),
      service_(decode_pool_, clock_, metrics_, ServiceOptions(config)),
      models_(
          config, [this](const ModelConfig& model) { return LoadEngines(model); },
          [this](const std::string& model) { EndWithoutDevices(model); }, service_, clock_,
          metrics_),
      rpc_(service_, metrics_, clock_,
           {.tokens = std::move(tokens),
            .max_message_bytes = config.max_message_bytes,
            .max_receive_bytes = config.max_receive_bytes,
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
  const absl::Status loaded = models_.Start();
  if (StopRequested()) return absl::OkStatus();
  if (!loaded.ok()) return loaded;
  models_.Watch();
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
  TOME_ASSIGN_OR_RETURN(
      server_, RpcServer::Start({.listen = config_.listen,
                                 .credentials = credentials_,
                                 .max_message_bytes = config_.max_message_bytes,
                                 .max_receive_bytes = config_.max_receive_bytes,
                                 .max_connection_calls = config_.max_connection_calls,
                                 .keepalive_time = config_.keepalive_time,
                                 .keepalive_timeout = config_.keepalive_timeout,
                                 .min_ping_interval = config_.min_ping_interval,
                                 .max_connection_age = config_.max_connection_age,
                                 .max_connection_age_grace = config_.max_connection_age_grace},
                                rpc_));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::unique_ptr<Engine>>> App::LoadEngines(const ModelConfig& config) {
  if (config_.device != "cpu") return LoadCudaEngines(config);
  std::vector<std::unique_ptr<Engine>> engines(1);
  TOME_ASSIGN_OR_RETURN(engines[0], LoadTorchEngine({.directory = config.directory,
                                                     .dtype = config.dtype,
                                                     .compute_threads = compute_threads_,
                                                     .warm_up = true}));
  return engines;
}

absl::StatusOr<std::vector<std::unique_ptr<Engine>>> App::LoadCudaEngines(
    const ModelConfig& config) {
  if (cuda_module_ == nullptr) TOME_RETURN_IF_ERROR(OpenCuda());
  TOME_ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(config.directory));
  const int largest =
      std::clamp(config_.max_batch_tokens / checkpoint.vit().tokens(), 1, config_.max_batch_images);
  TOME_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> reference,
                        LoadTorchEngine(checkpoint, {.directory = config.directory,
                                                     .compute_threads = compute_threads_}));
  std::vector<std::unique_ptr<Engine>> engines;
  for (const int device : cuda_devices_) {
    TOME_ASSIGN_OR_RETURN(engines.emplace_back(),
                          LoadCudaEngine(*cuda_module_, checkpoint,
                                         {.device = device,
                                          .dtype = config.dtype,
                                          .max_images = std::max(largest, kSelfTestImages),
                                          .max_graphs = config_.cuda_graphs}));
    TOME_RETURN_IF_ERROR(CheckAgainstReference(*engines.back(), *reference));
  }
  return engines;
}

absl::Status App::OpenCuda() {
  const std::string path =
      config_.cuda_module.empty() ? CudaModuleBesideProgram() : config_.cuda_module;
  TOME_ASSIGN_OR_RETURN(cuda_module_, OpenCudaModule(path));
  TOME_ASSIGN_OR_RETURN(cuda_devices_, CudaDevices(*cuda_module_, config_.device));
  if (exposer_ != nullptr) {
    TOME_ASSIGN_OR_RETURN(const std::vector<GpuCollector::Gpu> gpus,
                          CudaGpus(*cuda_module_, cuda_devices_));
    exposer_->Add(std::make_shared<GpuCollector>(OpenNvml(), gpus));
  }
  return absl::OkStatus();
}

void App::RequestReload() { models_.RequestReload(); }

void App::RequestStop() {
  models_.RequestStop();
  MutexLock lock(mu_);
  stop_requested_ = true;
  stop_.NotifyAll();
}

bool App::StopRequested() {
  MutexLock lock(mu_);
  return stop_requested_;
}

void App::EndWithoutDevices(const std::string& model) {
  LogError("no GPU is left, the server stops", {{"model", model}});
  models_.RequestStop();
  MutexLock lock(mu_);
  lost_devices_ = true;
  stop_requested_ = true;
  stop_.NotifyAll();
}

bool App::LostDevices() {
  MutexLock lock(mu_);
  return lost_devices_;
}

void App::AwaitStop() {
  MutexLock lock(mu_);
  while (!stop_requested_) stop_.Wait(mu_);
}

void App::Drain() {
  metrics_.SetServerState(ServerState::kDraining);
  if (serving_) {
    // Also where no device is left and each call is refused: gRPC cancels what arrives during its
    // shutdown, and CANCELLED would not tell the caller to try another server.
    server_->SetServing(false);
    LogInfo("draining: health is NOT_SERVING, calls are still answered",
            {{"delay", absl::FormatDuration(config_.drain_delay)}});
    std::this_thread::sleep_for(absl::ToChronoNanoseconds(config_.drain_delay));
  }
  LogInfo("draining: no more calls are accepted",
          {{"grace", absl::FormatDuration(config_.drain_grace)}});
  const absl::Time begin = clock_.Now();
  service_.Drain();
  rpc_.EndStreams();
  // Who calls at this moment hears from the service to call another server: of what arrives while
  // gRPC shuts down, it would hear CANCELLED.
  if (serving_) std::this_thread::sleep_for(kRefusing);
  server_->Shutdown(config_.drain_grace);
  LogInfo("drained", {{"took", absl::FormatDuration(clock_.Now() - begin)}});
}

std::string App::MetricsAddress() const {
  if (exposer_ == nullptr) return "off";
  const absl::string_view listen = config_.metrics_listen;
  return absl::StrCat(listen.substr(0, listen.rfind(':')), ":", exposer_->port());
}

}  // namespace tome
