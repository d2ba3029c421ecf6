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
#include "client/status.h"
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

// gRPC's own words for a deadline or a broken connection do not say what was tried.
absl::Status CallError(const grpc::Status& status, const CallOptions& options,
                       const std::string& request_id, int retries) {
  std::string message = status.error_message();
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED &&
      message == "Deadline Exceeded") {
    message = absl::StrCat("no answer within ", absl::FormatDuration(options.timeout));
  }
  if (retries > 0) absl::StrAppend(&message, " (after ", retries, " retries)");
  return FromWire(grpc::Status(status.error_code(), message, status.error_details()), request_id);
}

// A blocking call from an asynchronous one: `start` gets the callback.
template <typename Result>
absl::StatusOr<Result> Await(
    const std::function<void(absl::AnyInvocable<void(absl::StatusOr<Result>)>)>& start) {
  std::promise<absl::StatusOr<Result>> promise;
  start([&](absl::StatusOr<Result> result) { promise.set_value(std::move(result)); });
  return promise.get_future().get();
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
            done(CallError(status, options, id, retries));
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
  return Await<Embedding>(
      [&](EmbedDone done) { EmbedAsync(std::move(image), options, std::move(done)); });
}

void Client::EmbedAsync(ImageInput image, const EmbedOptions& options, EmbedDone done) {
  impl_->Call<Embedding>(
      impl_->embedding->async(), &EmbeddingStub::async::Embed, ToWire(std::move(image), options),
      options,
      [](const tome::v1::EmbedResponse& response, const std::string& id,
         int retries) -> absl::StatusOr<Embedding> {
        absl::StatusOr<Embedding> embedding = FromWire(response);
        if (!embedding.ok()) {
          return MakeStatus(embedding.status().code(), embedding.status().message(), "", id);
        }
        embedding->request_id = id;
        embedding->retries = retries;
        return embedding;
      },
      std::move(done));
}

absl::StatusOr<std::vector<Model>> Client::ListModels(const CallOptions& options) {
  return Await<std::vector<Model>>([&](auto done) {
    impl_->Call<std::vector<Model>>(
        impl_->embedding->async(), &EmbeddingStub::async::ListModels, tome::v1::ListModelsRequest(),
        options,
        [](const tome::v1::ListModelsResponse& response, const std::string&, int) {
          std::vector<Model> models;
          for (const tome::v1::Model& model : response.models()) models.push_back(FromWire(model));
          return models;
        },
        std::move(done));
  });
}

absl::StatusOr<ModelAndLimits> Client::GetModel(const std::string& name,
                                                const CallOptions& options) {
  tome::v1::GetModelRequest request;
  request.set_name(name);
  return Await<ModelAndLimits>([&](auto done) {
    impl_->Call<ModelAndLimits>(
        impl_->embedding->async(), &EmbeddingStub::async::GetModel, std::move(request), options,
        [](const tome::v1::GetModelResponse& response, const std::string&, int) {
          return ModelAndLimits{FromWire(response.model()), FromWire(response.limits())};
        },
        std::move(done));
  });
}

absl::StatusOr<HealthStatus> Client::Health(const std::string& service,
                                            const CallOptions& options) {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  CallOptions once = options;
  once.retry = RetryPolicy{.max_pushback_retries = 0, .max_unavailable_retries = 0};
  absl::StatusOr<HealthStatus> health = Await<HealthStatus>([&](auto done) {
    impl_->Call<HealthStatus>(
        impl_->health->async(), &HealthStub::async::Check, std::move(request), once,
        [](const grpc::health::v1::HealthCheckResponse& response, const std::string&, int) {
          return response.status() == grpc::health::v1::HealthCheckResponse::SERVING
                     ? HealthStatus::kServing
                     : HealthStatus::kNotServing;
        },
        std::move(done));
  });
  // How Check, unlike Watch, says that it does not know the service.
  if (absl::IsNotFound(health.status())) return HealthStatus::kServiceUnknown;
  return health;
}

}  // namespace tome::client
