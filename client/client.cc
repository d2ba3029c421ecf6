#include "client/client.h"

#include <grpc/health/v1/health.grpc.pb.h>
#include <grpcpp/channel.h>
#include <tome/v1/embedding.grpc.pb.h>

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

#include "client/calls_under_way.h"
#include "client/channel.h"
#include "client/embed_stream.h"
#include "client/status.h"
#include "client/stream_call.h"
#include "client/unary_call.h"
#include "client/wire.h"

namespace tome::client {
namespace {

using EmbeddingStub = tome::v1::EmbeddingService::Stub;
using HealthStub = grpc::health::v1::Health::Stub;

std::string NewRequestId() {
  absl::BitGen random;
  return absl::StrCat(absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16),
                      absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16));
}

// A future from an asynchronous call: `start` gets the callback.
template <typename Result, typename Start>
std::future<absl::StatusOr<Result>> Future(Start start) {
  std::promise<absl::StatusOr<Result>> promise;
  std::future<absl::StatusOr<Result>> future = promise.get_future();
  start([promise = std::move(promise)](absl::StatusOr<Result> result) mutable {
    promise.set_value(std::move(result));
  });
  return future;
}

}  // namespace

struct Client::Impl {
  // Calls `method` of a stub's callback interface with retries; `convert` makes the result of an OK
  // response.
  template <typename Result, typename Async, typename Request, typename Response, typename Convert>
  void Call(Async* stub,
            void (Async::*method)(grpc::ClientContext*, const Request*, Response*,
                                  std::function<void(grpc::Status)>),
            Request request, const CallOptions& options, Convert convert,
            absl::AnyInvocable<void(absl::StatusOr<Result>)> done) {
    const std::string id = options.request_id.empty() ? NewRequestId() : options.request_id;
    UnaryCall<Request, Response>::Start(
        calls,
        [stub, method](grpc::ClientContext* context, const Request* sent, Response* received,
                       std::function<void(grpc::Status)> ended) {
          (stub->*method)(context, sent, received, std::move(ended));
        },
        std::move(request), {options.timeout, id, bearer_token, options.retry.value_or(retry)},
        [options, id, convert = std::move(convert), done = std::move(done)](
            const grpc::Status& status, Response response, int retries) mutable {
          if (!status.ok()) {
            done(CallError(status, options.timeout, id, retries));
          } else {
            done(convert(std::move(response), id, retries));
          }
        });
  }

  RetryPolicy retry;
  std::string bearer_token;
  std::unique_ptr<EmbeddingStub> embedding;
  std::unique_ptr<HealthStub> health;
  CallsUnderWay calls;
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<Client>> Client::Create(const ClientOptions& options) {
  if (options.server.empty()) return absl::InvalidArgumentError("server: it is empty");
  auto credentials = MakeCredentials(options);
  if (!credentials.ok()) return credentials.status();
  auto impl = std::make_unique<Impl>();
  impl->retry = options.retry;
  impl->bearer_token = options.bearer_token;
  impl->embedding = tome::v1::EmbeddingService::NewStub(MakeBalancedChannel(options, *credentials));
  impl->health = grpc::health::v1::Health::NewStub(MakePlainChannel(options, *credentials));
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

Client::~Client() {
  Shutdown();
  impl_->calls.WaitUntilNone();
}

void Client::Shutdown() { impl_->calls.CancelAll(); }

absl::StatusOr<Embedding> Client::Embed(ImageInput image, const EmbedOptions& options) {
  return EmbedAsync(std::move(image), options).get();
}

std::future<absl::StatusOr<Embedding>> Client::EmbedAsync(ImageInput image,
                                                          const EmbedOptions& options) {
  return Future<Embedding>(
      [&](EmbedDone done) { EmbedAsync(std::move(image), options, std::move(done)); });
}

void Client::EmbedAsync(ImageInput image, const EmbedOptions& options, EmbedDone done) {
  impl_->Call<Embedding>(
      impl_->embedding->async(), &EmbeddingStub::async::Embed, ToWire(std::move(image), options),
      options,
      [](const tome::v1::EmbedResponse& response, const std::string& id, int retries) {
        return FromWire(response.embedding(), response.model(), id, retries);
      },
      std::move(done));
}

absl::StatusOr<BatchResults> Client::EmbedBatch(std::vector<BatchItem> items,
                                                const EmbedOptions& options) {
  return EmbedBatchAsync(std::move(items), options).get();
}

std::future<absl::StatusOr<BatchResults>> Client::EmbedBatchAsync(std::vector<BatchItem> items,
                                                                  const EmbedOptions& options) {
  return Future<BatchResults>(
      [&](BatchDone done) { EmbedBatchAsync(std::move(items), options, std::move(done)); });
}

void Client::EmbedBatchAsync(std::vector<BatchItem> items, const EmbedOptions& options,
                             BatchDone done) {
  const size_t count = items.size();
  impl_->Call<BatchResults>(
      impl_->embedding->async(), &EmbeddingStub::async::EmbedBatch,
      ToWire(std::move(items), options), options,
      [count](const tome::v1::EmbedBatchResponse& response, const std::string& id,
              int retries) -> absl::StatusOr<BatchResults> {
        if (static_cast<size_t>(response.results_size()) != count) {
          return MakeStatus(absl::StatusCode::kInternal,
                            absl::StrCat("the server answered ", response.results_size(), " of ",
                                         count, " images"),
                            "", id);
        }
        BatchResults results;
        results.reserve(count);
        for (const tome::v1::Result& result : response.results()) {
          results.push_back(FromWire(result, response.model(), id, retries));
        }
        return results;
      },
      std::move(done));
}

std::unique_ptr<EmbedStream> Client::OpenStream(const StreamOptions& options) {
  auto call = std::make_shared<StreamCall>(
      impl_->calls, *impl_->embedding, options, options.retry.value_or(impl_->retry),
      impl_->bearer_token, options.request_id.empty() ? NewRequestId() : options.request_id);
  call->Open();
  return std::unique_ptr<EmbedStream>(new EmbedStream(std::move(call)));
}

absl::StatusOr<std::vector<Model>> Client::ListModels(const CallOptions& options) {
  return Future<std::vector<Model>>([&](auto done) {
           impl_->Call<std::vector<Model>>(
               impl_->embedding->async(), &EmbeddingStub::async::ListModels,
               tome::v1::ListModelsRequest(), options,
               [](const tome::v1::ListModelsResponse& response, const std::string&, int) {
                 std::vector<Model> models;
                 for (const tome::v1::Model& model : response.models())
                   models.push_back(FromWire(model));
                 return models;
               },
               std::move(done));
         })
      .get();
}

absl::StatusOr<ModelAndLimits> Client::GetModel(const std::string& name,
                                                const CallOptions& options) {
  tome::v1::GetModelRequest request;
  request.set_name(name);
  return Future<ModelAndLimits>([&](auto done) {
           impl_->Call<ModelAndLimits>(
               impl_->embedding->async(), &EmbeddingStub::async::GetModel, std::move(request),
               options,
               [](const tome::v1::GetModelResponse& response, const std::string&, int) {
                 return ModelAndLimits{FromWire(response.model()), FromWire(response.limits())};
               },
               std::move(done));
         })
      .get();
}

absl::StatusOr<HealthStatus> Client::Health(const std::string& service,
                                            const CallOptions& options) {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  CallOptions once = options;
  once.retry = RetryPolicy{.max_pushback_retries = 0, .max_unavailable_retries = 0};
  absl::StatusOr<HealthStatus> health =
      Future<HealthStatus>([&](auto done) {
        impl_->Call<HealthStatus>(
            impl_->health->async(), &HealthStub::async::Check, std::move(request), once,
            [](const grpc::health::v1::HealthCheckResponse& response, const std::string&, int) {
              return response.status() == grpc::health::v1::HealthCheckResponse::SERVING
                         ? HealthStatus::kServing
                         : HealthStatus::kNotServing;
            },
            std::move(done));
      }).get();
  // How Check, unlike Watch, says that it does not know the service.
  if (absl::IsNotFound(health.status())) return HealthStatus::kServiceUnknown;
  return health;
}

}  // namespace tome::client
