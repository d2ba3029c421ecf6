#ifndef TOME_SERVER_RPC_HEALTH_H_
#define TOME_SERVER_RPC_HEALTH_H_

#include <grpc/health/v1/health.grpc.pb.h>

#include <set>
#include <string>

#include "absl/strings/string_view.h"

#include "server/base/mutex.h"

namespace tome {

// grpc.health.v1.Health. Knows "" and the service it was made for, which follow SetServing, and
// "liveness", which is SERVING as long as the process answers at all. Thread-safe.
//
// gRPC's own health service answers SERVING from the server's start until it is told otherwise, and
// has no way to end its Watch calls: one client that watches would hold every drain for all of its
// grace.
class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
  // NOT_SERVING at first. Destroy it after the last call.
  explicit HealthService(absl::string_view service);

  void SetServing(bool serving) ABSL_LOCKS_EXCLUDED(mu_);

  // Ends every Watch, and those to come, with UNAVAILABLE, once its last change is sent.
  void EndWatches() ABSL_LOCKS_EXCLUDED(mu_);

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override;
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* context,
      const grpc::health::v1::HealthCheckRequest* request) override;

 private:
  class Watcher;

  // At most one message is on its way, and after it the newest status.
  void SendNext(Watcher& watcher) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  grpc::health::v1::HealthCheckResponse::ServingStatus StatusOf(const std::string& name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string service_;

  Mutex mu_;
  bool serving_ ABSL_GUARDED_BY(mu_) = false;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  std::set<Watcher*> watchers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace tome

#endif  // TOME_SERVER_RPC_HEALTH_H_
