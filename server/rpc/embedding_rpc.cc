#include "server/rpc/embedding_rpc.h"

#include <utility>
#include <vector>

#include "server/base/cancellation.h"
#include "server/base/status.h"
#include "server/rpc/call.h"
#include "server/rpc/convert.h"
#include "server/rpc/receive_share.h"

namespace tome {
namespace {

absl::StatusOr<EmbedCall> ToCall(const v1::EmbedRequest& request) { return ToEmbedCall(request); }
absl::StatusOr<EmbedBatchCall> ToCall(const v1::EmbedBatchRequest& request) {
  return ToEmbedBatchCall(request);
}

template <typename Done>
void Begin(EmbeddingService& service, EmbedCall call, Done done) {
  service.Embed(std::move(call), std::move(done));
}
template <typename Done>
void Begin(EmbeddingService& service, EmbedBatchCall call, Done done) {
  service.EmbedBatch(std::move(call), std::move(done));
}

// For callers that read trailers rather than answers. A batch has the times of each image in its
// answer alone.
void AddServerTiming(const EmbedAnswer& answer, Call& call) {
  const StageTimes& times = answer.times;
  if (times.decode.has_value()) call.AddServerTiming("decode", *times.decode);
  if (times.preprocess.has_value()) call.AddServerTiming("preprocess", *times.preprocess);
  call.AddServerTiming("queue", times.queue);
  call.AddServerTiming("compute", times.compute);
}
void AddServerTiming(const EmbedBatchAnswer&, Call&) {}

// One Embed or EmbedBatch call. gRPC calls OnDone last, once Finish has been called and its effects
// are over and every OnCancel has returned; request, response and context live until then. So the
// service's `done`, which alone calls Finish, always finds the reactor alive, and whoever called
// Finish must not touch it again: OnDone may already run elsewhere.
template <typename Response>
class EmbedReactor final : public grpc::ServerUnaryReactor {
 public:
  EmbedReactor(Method method, grpc::CallbackServerContext& context, Metrics& metrics, Clock& clock,
               Response& response)
      : call_(method, context, metrics, clock), response_(response) {}

  // Not touched by the caller after this but to hand it to gRPC, which binds it only then.
  template <typename Request>
  void Start(EmbeddingService& service, const absl::Status& authenticated, const Request& request) {
    if (!authenticated.ok()) return Finish(call_.End(authenticated));
    auto embed = ToCall(request);
    if (!embed.ok()) return Finish(call_.End(embed.status()));
    embed->deadline = call_.deadline();
    embed->cancellation = cancellation_;
    Begin(service, *std::move(embed), [this](auto answer) { this->Answer(std::move(answer)); });
  }

  void OnCancel() override { cancellation_.Cancel(); }
  void OnDone() override { delete this; }

 private:
  template <typename ServiceAnswer>
  void Answer(absl::StatusOr<ServiceAnswer> answer) {
    // Nobody reads the answer, whatever it is; the count shall tell what the caller saw.
    if (cancellation_.IsCancelled()) return Finish(call_.EndAbandoned());
    if (!answer.ok()) return Finish(call_.End(answer.status()));
    AddServerTiming(*answer, call_);
    FillResponse(*std::move(answer), call_.request_id(), &response_);
    Finish(call_.End(absl::OkStatus()));
  }

  Call call_;
  Response& response_;
  Cancellation cancellation_;
};

}  // namespace

EmbeddingRpc::EmbeddingRpc(EmbeddingService& service, Metrics& metrics, Clock& clock,
                           Options options)
    : service_(service),
      metrics_(metrics),
      clock_(clock),
      tokens_(std::move(options.tokens)),
      max_message_bytes_(options.max_message_bytes),
      streams_(service, metrics, clock,
               {.max_images = options.max_stream_images,
                .max_waiting_bytes =
                    ReceiveShare(options.max_receive_bytes, options.max_message_bytes)}) {}

grpc::ServerUnaryReactor* EmbeddingRpc::Embed(grpc::CallbackServerContext* context,
                                              const v1::EmbedRequest* request,
                                              v1::EmbedResponse* response) {
  return Compute(Method::kEmbed, *context, *request, *response);
}

grpc::ServerUnaryReactor* EmbeddingRpc::EmbedBatch(grpc::CallbackServerContext* context,
                                                   const v1::EmbedBatchRequest* request,
                                                   v1::EmbedBatchResponse* response) {
  return Compute(Method::kEmbedBatch, *context, *request, *response);
}

grpc::ServerBidiReactor<v1::EmbedStreamRequest, v1::EmbedStreamResponse>* EmbeddingRpc::EmbedStream(
    grpc::CallbackServerContext* context) {
  absl::Status status = tokens_.Check(*context);
  if (status.ok()) status = service_.CheckAccepts();
  return streams_.Open(*context, status);
}

grpc::ServerUnaryReactor* EmbeddingRpc::ListModels(grpc::CallbackServerContext* context,
                                                   const v1::ListModelsRequest*,
                                                   v1::ListModelsResponse* response) {
  return AnswerAtOnce(Method::kListModels, *context, [&]() -> absl::Status {
    TOME_ASSIGN_OR_RETURN(const auto models, service_.ListModels());
    for (const ServedModel& model : *models) FillModel(model, response->add_models());
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* EmbeddingRpc::GetModel(grpc::CallbackServerContext* context,
                                                 const v1::GetModelRequest* request,
                                                 v1::GetModelResponse* response) {
  return AnswerAtOnce(Method::kGetModel, *context, [&]() -> absl::Status {
    TOME_ASSIGN_OR_RETURN(const auto model, service_.GetModel(request->name()));
    FillModel(*model, response->mutable_model());
    FillLimits(service_.options(), service_.ImagesPerCall(*model), max_message_bytes_,
               response->mutable_limits());
    return absl::OkStatus();
  });
}

template <typename Request, typename Response>
grpc::ServerUnaryReactor* EmbeddingRpc::Compute(Method method, grpc::CallbackServerContext& context,
                                                const Request& request, Response& response) {
  auto* reactor = new EmbedReactor<Response>(method, context, metrics_, clock_, response);
  reactor->Start(service_, tokens_.Check(context), request);
  return reactor;
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
