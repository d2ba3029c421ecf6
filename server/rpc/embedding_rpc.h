#ifndef TOME_SERVER_RPC_EMBEDDING_RPC_H_
#define TOME_SERVER_RPC_EMBEDDING_RPC_H_

#include <tome/v1/embedding.grpc.pb.h>

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

#include "server/base/clock.h"
#include "server/metrics/metrics.h"
#include "server/rpc/credentials.h"
#include "server/rpc/embed_stream.h"
#include "server/service/embedding_service.h"

namespace tome {

// tome.v1.EmbeddingService over the service: no logic of its own beyond the calls' frame (request
// id, tokens, deadline, cancellation, status, metrics). Thread-safe; never blocks.
class EmbeddingRpc final : public v1::EmbeddingService::CallbackService {
 public:
  struct Options {
    BearerTokens tokens;
    int64_t max_message_bytes = 64 << 20;  // as the transport enforces it
    int64_t max_receive_bytes = 1 << 30;   // received and not yet admitted: receive_share.h
    int max_stream_images = 64;  // of one stream at once, from being read to their answers' being
                                 // sent; then it is not read from
  };

  // The references outlive every call.
  EmbeddingRpc(EmbeddingService& service, Metrics& metrics, Clock& clock, Options options);

  // Reads no more from any stream, answers what was read, then ends it with UNAVAILABLE; streams
  // that come later at once.
  void EndStreams() { streams_.EndAll(); }

  grpc::ServerUnaryReactor* Embed(grpc::CallbackServerContext* context,
                                  const v1::EmbedRequest* request,
                                  v1::EmbedResponse* response) override;
  grpc::ServerUnaryReactor* EmbedBatch(grpc::CallbackServerContext* context,
                                       const v1::EmbedBatchRequest* request,
                                       v1::EmbedBatchResponse* response) override;
  grpc::ServerBidiReactor<v1::EmbedStreamRequest, v1::EmbedStreamResponse>* EmbedStream(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;

 private:
  // A call that the service answers when it has computed.
  template <typename Request, typename Response>
  grpc::ServerUnaryReactor* Compute(Method method, grpc::CallbackServerContext& context,
                                    const Request& request, Response& response);
  // A call that is answered at once, if its token is valid.
  grpc::ServerUnaryReactor* AnswerAtOnce(Method method, grpc::CallbackServerContext& context,
                                         absl::FunctionRef<absl::Status()> answer);

  EmbeddingService& service_;
  Metrics& metrics_;
  Clock& clock_;
  const BearerTokens tokens_;
  const int64_t max_message_bytes_;
  EmbedStreams streams_;
};

}  // namespace tome

#endif  // TOME_SERVER_RPC_EMBEDDING_RPC_H_
