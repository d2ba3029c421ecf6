#ifndef TOME_SERVER_RPC_SERVER_H_
#define TOME_SERVER_RPC_SERVER_H_

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <tome/v1/embedding.grpc.pb.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/rpc/health.h"

namespace tome {

// A listening gRPC server: one embedding service, health and reflection. Thread-safe, but for the
// destructor.
//
// Health (health.h) is NOT_SERVING until SetServing. Health and reflection ask for no token.
class RpcServer {
 public:
  struct Options {
    std::string listen;  // HOST:PORT; port 0: a free one, see address()
    std::shared_ptr<grpc::ServerCredentials> credentials;
    // A longer message is refused by gRPC itself: RESOURCE_EXHAUSTED, without a retry hint.
    int64_t max_message_bytes = 64 << 20;
    // Of what is received and not yet admitted, on all connections: receive_share.h has gRPC's
    // part, beyond which it ends connections. It does so a moment late: what arrives meanwhile is
    // on top.
    int64_t max_receive_bytes = 1 << 30;
    int max_connection_calls = 1024;  // of one connection at once; more wait at the client
    absl::Duration keepalive_time = absl::Seconds(60);
    absl::Duration keepalive_timeout = absl::Seconds(20);
    absl::Duration min_ping_interval = absl::Seconds(10);      // of a client's pings
    absl::Duration max_connection_age = absl::ZeroDuration();  // 0: none
    absl::Duration max_connection_age_grace = absl::Minutes(5);
  };

  // Accepts calls from its return on, with health NOT_SERVING. FAILED_PRECONDITION if it cannot
  // listen there. `service` outlives the server.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(
      const Options& options, v1::EmbeddingService::CallbackService& service);
  // Shutdown without grace.
  ~RpcServer();
  RpcServer(const RpcServer&) = delete;
  RpcServer& operator=(const RpcServer&) = delete;

  // As Options::listen, with the port that is really bound.
  const std::string& address() const { return address_; }

  void SetServing(bool serving);

  // Takes no new connection and no new call, tells the clients so, ends the health watches and
  // waits for the calls under way; cancels what is left of them after `grace`. When it returns, no
  // call is left. Idempotent.
  void Shutdown(absl::Duration grace);

 private:
  RpcServer() = default;

  // Constant after Start. The server ends before what it calls.
  HealthService health_{v1::EmbeddingService::service_full_name()};
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace tome

#endif  // TOME_SERVER_RPC_SERVER_H_
