#ifndef TOME_SERVER_APP_H_
#define TOME_SERVER_APP_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/base/thread_pool.h"
#include "server/config/server_config.h"
#include "server/cuda/module.h"
#include "server/engine/engine.h"
#include "server/metrics/exposer.h"
#include "server/metrics/metrics.h"
#include "server/model_store.h"
#include "server/rpc/embedding_rpc.h"
#include "server/rpc/server.h"
#include "server/service/embedding_service.h"

namespace tome {

// The composition root: makes every part of the server, starts them in order and stops them in the
// opposite one. Start, AwaitStop and Drain are called one after the other, by one thread.
class App {
 public:
  // Reads the files for TLS and tokens; nothing listens or runs yet but the decode threads.
  // INVALID_ARGUMENT, naming the option and its file.
  static absl::StatusOr<std::unique_ptr<App>> Create(const ServerConfig& config);
  // Ends every call without grace.
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  // Opens both ports at once, with health NOT_SERVING and calls UNAVAILABLE, then loads, warms up
  // and tests each model. OK: it serves, or RequestStop came before. Otherwise the reason why it
  // cannot serve, in one line.
  absl::Status Start();

  // Replaces the models whose directories have changed, once the server serves. From any thread.
  void RequestReload();

  // Ends Start early, or AwaitStop. From any thread, not from a signal handler.
  void RequestStop() ABSL_LOCKS_EXCLUDED(mu_);
  void AwaitStop() ABSL_LOCKS_EXCLUDED(mu_);

  // Whether the stop came because a model has lost its last GPU. The process is of no more use
  // then.
  bool LostDevices() ABSL_LOCKS_EXCLUDED(mu_);

  // Health NOT_SERVING; accepts for the drain delay, then accepts no more and finishes what it has,
  // within the grace. No delay if it never served.
  void Drain();

 private:
  App(const ServerConfig& config, std::shared_ptr<grpc::ServerCredentials> credentials,
      BearerTokens tokens);

  absl::Status Listen();
  // One engine a device, of the same weights; on GPUs checked against the CPU's reference pass.
  absl::StatusOr<std::vector<std::unique_ptr<Engine>>> LoadEngines(const ModelConfig& model);
  absl::StatusOr<std::vector<std::unique_ptr<Engine>>> LoadCudaEngines(const ModelConfig& model);
  // Once, before the first model on a GPU.
  absl::Status OpenCuda();
  // A model has lost its last GPU: the process is of no more use.
  void EndWithoutDevices(const std::string& model) ABSL_LOCKS_EXCLUDED(mu_);
  bool StopRequested() ABSL_LOCKS_EXCLUDED(mu_);
  // "HOST:PORT", or "off".
  std::string MetricsAddress() const;

  // Each part outlives those below it.
  const ServerConfig config_;
  const std::shared_ptr<grpc::ServerCredentials> credentials_;
  const int compute_threads_;
  Clock& clock_;
  Metrics metrics_;
  std::unique_ptr<MetricsExposer> exposer_;
  ThreadPool decode_pool_;
  const cuda::Table* cuda_module_ = nullptr;
  std::vector<int> cuda_devices_;
  EmbeddingService service_;
  ModelStore models_;
  EmbeddingRpc rpc_;
  std::unique_ptr<RpcServer> server_;
  bool serving_ = false;

  Mutex mu_;
  Condition stop_;
  bool stop_requested_ ABSL_GUARDED_BY(mu_) = false;
  bool lost_devices_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace tome

#endif  // TOME_SERVER_APP_H_
