#ifndef TOME_SERVER_RPC_EMBED_STREAM_H_
#define TOME_SERVER_RPC_EMBED_STREAM_H_

#include <grpcpp/server_context.h>
#include <tome/v1/embedding.grpc.pb.h>

#include <atomic>
#include <cstdint>
#include <set>

#include "absl/status/status.h"

#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/metrics/metrics.h"
#include "server/service/embedding_service.h"

namespace tome {

class EmbedStream;

// The EmbedStream calls under way. Thread-safe. Destroy it after the last call.
class EmbedStreams {
 public:
  using Reactor = grpc::ServerBidiReactor<v1::EmbedStreamRequest, v1::EmbedStreamResponse>;

  struct Limits {
    // Of one stream at once, from being read to their answers' being sent: a stream that has as
    // many is not read from. REQUIRES: > 0.
    int max_images = 0;
    // Of the messages of all streams whose images wait for a place, one a stream: what comes beyond
    // is answered UNAVAILABLE, so that the caller sends it again, best to another server.
    int64_t max_waiting_bytes = 0;
  };

  // The references outlive every call.
  EmbedStreams(EmbeddingService& service, Metrics& metrics, Clock& clock, Limits limits);

  // A new call: refused with `refusal` if that is not OK.
  Reactor* Open(grpc::CallbackServerContext& context, const absl::Status& refusal)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Reads no more from any stream, answers what was read, then ends it with UNAVAILABLE; streams
  // that come later at once.
  void EndAll() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  friend class EmbedStream;
  void Remove(EmbedStream* stream) ABSL_LOCKS_EXCLUDED(mu_);
  // Counts `bytes` as waiting, if they are not too many.
  bool AddWaiting(int64_t bytes);
  void RemoveWaiting(int64_t bytes);

  // Constant after construction.
  EmbeddingService& service_;
  Metrics& metrics_;
  Clock& clock_;
  const Limits limits_;

  std::atomic<int64_t> waiting_bytes_ = 0;

  // Taken before that of a stream.
  Mutex mu_;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  std::set<EmbedStream*> streams_ ABSL_GUARDED_BY(mu_);
};

}  // namespace tome

#endif  // TOME_SERVER_RPC_EMBED_STREAM_H_
