#include "server/rpc/embedding_rpc.h"

#include <utility>
#include <vector>

#include "server/base/cancellation.h"
#include "server/base/status.h"
#include "server/rpc/call.h"
#include "server/rpc/convert.h"

namespace tome {
namespace {

// One Embed call. gRPC calls OnDone last, once Finish has been called and its effects are over and
// every OnCancel has returned; request, response and context live until then. So the service's
// `done`, which alone calls Finish, always finds the reactor alive, and whoever called Finish must
// not touch it again: OnDone may already run elsewhere.
class EmbedReactor final : public grpc::ServerUnaryReactor {
 public:
  EmbedReactor(grpc::CallbackServerContext& context, Metrics& metrics, Clock& clock,
               v1::EmbedResponse& response)
      : call_(Method::kEmbed, context, metrics, clock), response_(response) {}

  // Not touched by the caller after this but to hand it to gRPC, which binds it only then.
  void Start(EmbeddingService& service, const absl::Status& authenticated,
             const v1::EmbedRequest& request) {
    if (!authenticated.ok()) return Finish(call_.End(authenticated));
    absl::StatusOr<EmbedCall> embed = ToEmbedCall(request);
    if (!embed.ok()) return Finish(call_.End(embed.status()));
    embed->deadline = call_.deadline();
    embed->cancellation = cancellation_;
    service.Embed(*std::move(embed),
                  [this](absl::StatusOr<EmbedAnswer> answer) { Answer(std::move(answer)); });
  }

  void OnCancel() override { cancellation_.Cancel(); }
  void OnDone() override { delete this; }

 private:
  void Answer(absl::StatusOr<EmbedAnswer> answer) {
    // Nobody reads the answer, whatever it is; the count shall tell what the caller saw.
    if (cancellation_.IsCancelled()) return Finish(call_.EndAbandoned());
    if (!answer.ok()) return Finish(call_.End(answer.status()));
    FillEmbedResponse(*std::move(answer), &response_);
    Finish(call_.End(absl::OkStatus()));
  }

  Call call_;
  v1::EmbedResponse& response_;
  Cancellation cancellation_;
};

// A stream that ends before it begins.
class RefusedStream final
    : public grpc::ServerBidiReactor<v1::EmbedStreamRequest, v1::EmbedStreamResponse> {
 public:
  explicit RefusedStream(grpc::Status status) { Finish(std::move(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

EmbeddingRpc::EmbeddingRpc(EmbeddingService& service, Metrics& metrics, Clock& clock,
                           BearerTokens tokens, int64_t max_message_bytes)
    : service_(service),
      metrics_(metrics),
      clock_(clock),
      tokens_(std::move(tokens)),
      max_message_bytes_(max_message_bytes) {}

grpc::ServerUnaryReactor* EmbeddingRpc::Embed(grpc::CallbackServerContext* context,
                                              const v1::EmbedRequest* request,
                                              v1::EmbedResponse* response) {
  auto* reactor = new EmbedReactor(*context, metrics_, clock_, *response);
  reactor->Start(service_, tokens_.Check(*context), *request);
  return reactor;
}

grpc::ServerUnaryReactor* EmbeddingRpc::EmbedBatch(grpc::CallbackServerContext* context,
                                                   const v1::EmbedBatchRequest*,
                                                   v1::EmbedBatchResponse*) {
  return AnswerAtOnce(Method::kEmbedBatch, *context, [] {
    return absl::UnimplementedError(
        "EmbedBatch is not served by this version, call Embed for each image");
  });
}

grpc::ServerBidiReactor<v1::EmbedStreamRequest, v1::EmbedStreamResponse>* EmbeddingRpc::EmbedStream(
    grpc::CallbackServerContext* context) {
  Call call(Method::kEmbedStream, *context, metrics_, clock_);
  absl::Status status = tokens_.Check(*context);
  if (status.ok()) {
    status = absl::UnimplementedError(
        "EmbedStream is not served by this version, call Embed for each image");
  }
  return new RefusedStream(call.End(status));
}

grpc::ServerUnaryReactor* EmbeddingRpc::ListModels(grpc::CallbackServerContext* context,
                                                   const v1::ListModelsRequest*,
                                                   v1::ListModelsResponse* response) {
  return AnswerAtOnce(Method::kListModels, *context, [&]() -> absl::Status {
    TOME_ASSIGN_OR_RETURN(const std::vector<ServedModel> models, service_.ListModels());
    for (const ServedModel& model : models) FillModel(model, response->add_models());
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* EmbeddingRpc::GetModel(grpc::CallbackServerContext* context,
                                                 const v1::GetModelRequest* request,
                                                 v1::GetModelResponse* response) {
  return AnswerAtOnce(Method::kGetModel, *context, [&]() -> absl::Status {
    TOME_ASSIGN_OR_RETURN(const ServedModel model, service_.GetModel(request->name()));
    FillModel(model, response->mutable_model());
    FillLimits(service_.options(), max_message_bytes_, response->mutable_limits());
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* EmbeddingRpc::AnswerAtOnce(Method method,
                                                     grpc::CallbackServerContext& context,
                                                     absl::FunctionRef<absl::Status()> answer) {
  Call call(method, context, metrics_, clock_);
  absl::Status status = tokens_.Check(context);
  if (status.ok()) status = answer();
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();
  reactor->Finish(call.End(status));
  return reactor;
}

}  // namespace tome
