#include "tests/client/fake_server.h"

#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "client/client.h"

namespace tome::client {

// Replies once, when its script says so or when the caller has gone.
class FakeServer::EmbedReactor final : public grpc::ServerUnaryReactor {
 public:
  EmbedReactor(FakeServer& server, grpc::CallbackServerContext& context,
               tome::v1::EmbedResponse& response, Reply reply)
      : server_(server), context_(context), response_(response), reply_(std::move(reply)) {}

  // Both with the server's lock held.
  bool IsDue(size_t calls) const {
    return !reply_.never && calls >= static_cast<size_t>(reply_.after_calls);
  }
  void SendReply() {
    --server_.in_flight_;
    if (!reply_.pushback.empty()) {
      context_.AddTrailingMetadata("grpc-retry-pushback-ms", reply_.pushback);
    }
    response_ = std::move(reply_.response);
    Finish(reply_.status);
  }

  void OnCancel() override {
    std::lock_guard lock(server_.mu_);
    auto& waiting = server_.waiting_;
    const auto self = std::find(waiting.begin(), waiting.end(), this);
    if (self == waiting.end()) return;
    waiting.erase(self);
    --server_.in_flight_;
    Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  FakeServer& server_;
  grpc::CallbackServerContext& context_;
  tome::v1::EmbedResponse& response_;
  Reply reply_;
};

class FakeServer::Service final : public tome::v1::EmbeddingService::CallbackService {
 public:
  explicit Service(FakeServer& server) : server_(server) {}

  grpc::ServerUnaryReactor* Embed(grpc::CallbackServerContext* context,
                                  const tome::v1::EmbedRequest* request,
                                  tome::v1::EmbedResponse* response) override {
    std::lock_guard lock(server_.mu_);
    Call call{*request, {}, std::chrono::steady_clock::now(), context->deadline()};
    for (const auto& [key, value] : context->client_metadata()) {
      call.metadata.insert(
          {std::string(key.data(), key.size()), std::string(value.data(), value.size())});
    }
    const int index = static_cast<int>(server_.calls_.size());
    server_.calls_.push_back(std::move(call));
    server_.most_in_flight_ = std::max(server_.most_in_flight_, ++server_.in_flight_);
    auto* reactor =
        new EmbedReactor(server_, *context, *response, server_.script_(*request, index));
    server_.waiting_.push_back(reactor);
    server_.ReplyWhereDue();
    server_.called_.notify_all();
    return reactor;
  }

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const tome::v1::ListModelsRequest*,
                                       tome::v1::ListModelsResponse* response) override {
    *response->add_models() = ModelFacts().model();
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const tome::v1::GetModelRequest* request,
                                     tome::v1::GetModelResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    if (request->name().empty() || request->name() == "vit") {
      *response = ModelFacts();
      reactor->Finish(grpc::Status::OK);
    } else {
      reactor->Finish(grpc::Status(grpc::StatusCode::NOT_FOUND,
                                   "model: there is no '" + request->name() + "', there is: vit"));
    }
    return reactor;
  }

 private:
  FakeServer& server_;
};

FakeServer::FakeServer(Script script, std::shared_ptr<grpc::ServerCredentials> credentials)
    : script_(std::move(script)), service_(std::make_unique<Service>(*this)) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", std::move(credentials), &port_);
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
  SetServing(true);
}

FakeServer::~FakeServer() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

std::string FakeServer::address() const { return "127.0.0.1:" + std::to_string(port_); }

void FakeServer::SetServing(bool serving) {
  server_->GetHealthCheckService()->SetServingStatus(kEmbeddingServiceName, serving);
}

std::vector<FakeServer::Call> FakeServer::calls() const {
  std::lock_guard lock(mu_);
  return calls_;
}

int FakeServer::most_in_flight() const {
  std::lock_guard lock(mu_);
  return most_in_flight_;
}

void FakeServer::AwaitCalls(int count) const {
  std::unique_lock lock(mu_);
  called_.wait(lock, [&] { return calls_.size() >= static_cast<size_t>(count); });
}

void FakeServer::ReplyWhereDue() {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    EmbedReactor* reactor = *it;
    if (reactor->IsDue(calls_.size())) {
      it = waiting_.erase(it);
      reactor->SendReply();
    } else {
      ++it;
    }
  }
}

tome::v1::GetModelResponse FakeServer::ModelFacts() {
  tome::v1::GetModelResponse facts;
  facts.mutable_model()->set_name("vit");
  facts.mutable_model()->set_weights_digest("d1");
  facts.mutable_model()->set_architecture("vit_tiny_patch16_224");
  facts.mutable_model()->set_embedding_dimensions(2);
  facts.mutable_model()->set_blocks(12);
  facts.mutable_model()->set_maximum_r(98);
  facts.mutable_model()->mutable_default_merge()->mutable_linear()->set_mean_r(8);
  facts.mutable_model()->mutable_default_merge()->mutable_linear()->set_inflection(-1.0);
  facts.mutable_limits()->set_encoded_bytes(1000);
  facts.mutable_limits()->mutable_default_timeout()->set_seconds(30);
  return facts;
}

FakeServer::Reply FakeServer::Answer(const std::vector<float>& vector) {
  Reply reply;
  reply.response.mutable_model()->set_name("vit");
  reply.response.mutable_model()->set_weights_digest("d1");
  tome::v1::Vector& to = *reply.response.mutable_embedding()->mutable_vector();
  to.set_type(tome::v1::ELEMENT_TYPE_FLOAT32);
  to.set_dimensions(static_cast<uint32_t>(vector.size()));
  to.mutable_data()->assign(reinterpret_cast<const char*>(vector.data()),
                            vector.size() * sizeof(float));
  return reply;
}

FakeServer::Reply FakeServer::Error(grpc::StatusCode code, const std::string& message) {
  Reply reply;
  reply.status = grpc::Status(code, message);
  return reply;
}

FakeServer::Reply FakeServer::Never() {
  Reply reply;
  reply.never = true;
  return reply;
}

FakeServer::Reply FakeServer::Full(const std::string& pushback) {
  Reply reply = Error(grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full");
  reply.pushback = pushback;
  return reply;
}

}  // namespace tome::client
