#ifndef TOME_TESTS_RPC_LOOPBACK_SERVER_H_
#define TOME_TESTS_RPC_LOOPBACK_SERVER_H_

#include <grpcpp/channel.h>
#include <tome/v1/embedding.grpc.pb.h>

#include <map>
#include <memory>
#include <string>

#include "server/rpc/embedding_rpc.h"
#include "server/rpc/server.h"
#include "server/scheduler/admission.h"
#include "server/scheduler/batcher.h"
#include "server/service/embedding_service.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/fake_engine.h"

namespace tome {

struct LoopbackOptions {
  int max_admitted_images = 16;
  int max_batch_images = 1;
  int max_stream_images = 8;
  int64_t max_message_bytes = 1 << 20;
  int64_t max_receive_bytes = 1 << 30;  // of images that wait; gRPC's own part has its default
  ModelFacts facts = FakeEngine::SmallModel();
  BearerTokens tokens = {};
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
};

// All of the server but the engine, on a free port of the loopback interface: what a client meets.
// Time stands still but for `clock`.
class LoopbackServer {
 public:
  explicit LoopbackServer(LoopbackOptions options = {});
  // Ends the calls, then what they need.
  ~LoopbackServer();

  // Serves the fake engine under the name "small", with health SERVING.
  void Serve();

  // A channel that shares no connection with another.
  std::shared_ptr<grpc::Channel> Connect() const;

  FakeClock clock;
  Metrics metrics;
  FakeEngine engine;

 private:
  Admission admission_;
  ThreadPool decode_pool_{"decode", 2};
  Batcher batcher_;

 public:
  EmbeddingService service;
  EmbeddingRpc rpc;
  const std::unique_ptr<RpcServer> server;
  const std::unique_ptr<v1::EmbeddingService::Stub> stub;
};

// An image of the fake engine's size, right as it is. Requests of different `shade` get different
// embeddings.
v1::EmbedRequest SmallRequest(char shade = 'x');

// What one call brought.
struct Reply {
  grpc::Status status;
  v1::EmbedResponse response;
  std::multimap<std::string, std::string> initial_metadata;
  std::multimap<std::string, std::string> trailing_metadata;
};

// Calls Embed and waits. With a context of one's own, metadata, deadline and cancellation can be
// chosen.
Reply Embed(v1::EmbeddingService::StubInterface& stub, const v1::EmbedRequest& request,
            grpc::ClientContext& context);
Reply Embed(v1::EmbeddingService::StubInterface& stub, const v1::EmbedRequest& request);

// The only value of a metadata key; "" if it is missing or there are several.
std::string ValueOf(const std::multimap<std::string, std::string>& metadata,
                    const std::string& key);

}  // namespace tome

#endif  // TOME_TESTS_RPC_LOOPBACK_SERVER_H_
