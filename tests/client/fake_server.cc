#include "tests/client/fake_server.h"

#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

#include "client/client.h"

namespace tome::client {
namespace {

tome::v1::Result ToResult(const FakeServer::Reply& reply) {
  tome::v1::Result result;
  if (reply.status.ok()) {
    *result.mutable_embedding() = reply.response.embedding();
  } else {
    result.mutable_error()->set_code(reply.status.error_code());
    result.mutable_error()->set_message(reply.status.error_message());
  }
  return result;
}

std::chrono::nanoseconds TimeLeft(const grpc::CallbackServerContext& context) {
  return context.deadline() - std::chrono::system_clock::now();
}

}  // namespace

// Replies once, when its script says so or when the caller has gone.
class FakeServer::EmbedReactor final : public grpc::ServerUnaryReactor, public Waiting {
 public:
  EmbedReactor(FakeServer& server, grpc::CallbackServerContext& context,
               tome::v1::EmbedResponse& response, Reply reply)
      : server_(server), context_(context), response_(response), reply_(std::move(reply)) {}

  // Both with the server's lock held.
  bool IsDue(size_t calls) const override {
    return !reply_.never && calls >= static_cast<size_t>(reply_.after_calls);
  }
  void SendReply() override {
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
    const auto self = std::find(waiting.begin(), waiting.end(), static_cast<Waiting*>(this));
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

// Replies to each image when its script says so, and ends when the caller has said all, when a
// reply ends it, or when the caller has gone.
class FakeServer::StreamReactor final
    : public grpc::ServerBidiReactor<tome::v1::EmbedStreamRequest, tome::v1::EmbedStreamResponse> {
 public:
  StreamReactor(FakeServer& server, grpc::CallbackServerContext& context)
      : server_(server), context_(context) {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    std::lock_guard lock(server_.mu_);
    if (ended_) return;
    if (!ok) {
      all_read_ = true;
      return WriteNext();
    }
    Reply reply = server_.Note(context_, request_.request(),
                               std::chrono::seconds(request_.timeout().seconds()) +
                                   std::chrono::nanoseconds(request_.timeout().nanos()));
    images_.push_back(std::make_unique<Image>(*this, request_.id(), std::move(reply)));
    server_.waiting_.push_back(images_.back().get());
    server_.ReplyWhereDue();
    server_.called_.notify_all();
    if (!ended_) StartRead(&request_);
  }

  void OnWriteDone(bool) override {
    std::lock_guard lock(server_.mu_);
    responses_.pop_front();
    writing_ = false;
    WriteNext();
  }

  void OnCancel() override {
    std::lock_guard lock(server_.mu_);
    End(grpc::Status::CANCELLED);
    responses_.resize(std::min<size_t>(responses_.size(), writing_ ? 1 : 0));
    WriteNext();
  }

  void OnDone() override { delete this; }

 private:
  struct Image final : Waiting {
    Image(StreamReactor& to_stream, uint64_t of_id, Reply with_reply)
        : stream(to_stream), id(of_id), reply(std::move(with_reply)) {}
    bool IsDue(size_t calls) const override {
      return !reply.never && calls >= static_cast<size_t>(reply.after_calls);
    }
    void SendReply() override { stream.Send(*this); }

    StreamReactor& stream;
    const uint64_t id;
    Reply reply;
  };

  // What follows has the server's lock held.
  void Send(Image& image) {
    --server_.in_flight_;
    const grpc::Status status = image.reply.status;
    const bool ends = !image.reply.of_image && (status.error_code() == grpc::UNAVAILABLE ||
                                                status.error_code() == grpc::RESOURCE_EXHAUSTED);
    if (ends) {
      if (!image.reply.pushback.empty()) {
        context_.AddTrailingMetadata("grpc-retry-pushback-ms", image.reply.pushback);
      }
      End(status);
    } else {
      tome::v1::EmbedStreamResponse& response = responses_.emplace_back();
      response.set_id(image.id);
      *response.mutable_model() = image.reply.response.model();
      *response.mutable_result() = ToResult(image.reply);
    }
    ++answered_;
    WriteNext();
  }

  // No image that waits is answered any more.
  void End(const grpc::Status& status) {
    if (ended_) return;
    ended_ = true;
    status_ = status;
    auto& waiting = server_.waiting_;
    for (const auto& image : images_) {
      const auto found =
          std::find(waiting.begin(), waiting.end(), static_cast<Waiting*>(image.get()));
      if (found == waiting.end()) continue;
      *found = nullptr;
      --server_.in_flight_;
    }
  }

  void WriteNext() {
    if (writing_ || finished_) return;
    if (!responses_.empty()) {
      writing_ = true;
      StartWrite(&responses_.front());
    } else if (ended_ || (all_read_ && answered_ == images_.size())) {
      ended_ = finished_ = true;
      Finish(status_);
    }
  }

  FakeServer& server_;
  grpc::CallbackServerContext& context_;
  tome::v1::EmbedStreamRequest request_;
  // Guarded by the server's lock.
  std::vector<std::unique_ptr<Image>> images_;
  size_t answered_ = 0;
  std::deque<tome::v1::EmbedStreamResponse> responses_;
  bool writing_ = false;
  bool all_read_ = false;
  bool ended_ = false;
  bool finished_ = false;
  grpc::Status status_;
};

class FakeServer::Service final : public tome::v1::EmbeddingService::CallbackService {
 public:
  explicit Service(FakeServer& server) : server_(server) {}

  grpc::ServerUnaryReactor* Embed(grpc::CallbackServerContext* context,
                                  const tome::v1::EmbedRequest* request,
                                  tome::v1::EmbedResponse* response) override {
    std::lock_guard lock(server_.mu_);
    auto* reactor = new EmbedReactor(server_, *context, *response,
                                     server_.Note(*context, *request, TimeLeft(*context)));
    server_.waiting_.push_back(reactor);
    server_.ReplyWhereDue();
    server_.called_.notify_all();
    return reactor;
  }

  // All at once; a reply that would end a stream refuses the batch.
  grpc::ServerUnaryReactor* EmbedBatch(grpc::CallbackServerContext* context,
                                       const tome::v1::EmbedBatchRequest* request,
                                       tome::v1::EmbedBatchResponse* response) override {
    std::lock_guard lock(server_.mu_);
    server_.batches_.push_back(request->items_size());
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    for (const tome::v1::EmbedBatchRequest::Item& item : request->items()) {
      tome::v1::EmbedRequest embed;
      embed.set_model(request->model());
      embed.set_if_weights_digest(request->if_weights_digest());
      *embed.mutable_input() = item.input();
      if (item.has_merge() || request->has_merge()) {
        *embed.mutable_merge() = item.has_merge() ? item.merge() : request->merge();
      }
      *embed.mutable_output() = request->output();
      const Reply reply = server_.Note(*context, embed, TimeLeft(*context));
      --server_.in_flight_;
      if (reply.status.error_code() == grpc::UNAVAILABLE ||
          reply.status.error_code() == grpc::RESOURCE_EXHAUSTED) {
        if (!reply.pushback.empty()) {
          context->AddTrailingMetadata("grpc-retry-pushback-ms", reply.pushback);
        }
        reactor->Finish(reply.status);
        return reactor;
      }
      *response->mutable_model() = reply.response.model();
      *response->add_results() = ToResult(reply);
    }
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerBidiReactor<tome::v1::EmbedStreamRequest, tome::v1::EmbedStreamResponse>* EmbedStream(
      grpc::CallbackServerContext* context) override {
    {
      std::lock_guard lock(server_.mu_);
      ++server_.streams_;
    }
    return new StreamReactor(server_, *context);
  }

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const tome::v1::ListModelsRequest*,
                                       tome::v1::ListModelsResponse* response) override {
    *response->add_models() = server_.ModelFacts().model();
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const tome::v1::GetModelRequest* request,
                                     tome::v1::GetModelResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    if (request->name().empty() || request->name() == "vit") {
      *response = server_.ModelFacts();
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

void FakeServer::SetWeightsDigest(const std::string& digest) {
  std::lock_guard lock(mu_);
  weights_digest_ = digest;
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

std::vector<int> FakeServer::batches() const {
  std::lock_guard lock(mu_);
  return batches_;
}

int FakeServer::streams() const {
  std::lock_guard lock(mu_);
  return streams_;
}

FakeServer::Reply FakeServer::Note(const grpc::CallbackServerContext& context,
                                   const tome::v1::EmbedRequest& request,
                                   std::chrono::nanoseconds time_left) {
  Call call{request, {}, std::chrono::steady_clock::now(), time_left};
  for (const auto& [key, value] : context.client_metadata()) {
    call.metadata.insert(
        {std::string(key.data(), key.size()), std::string(value.data(), value.size())});
  }
  const int index = static_cast<int>(calls_.size());
  calls_.push_back(std::move(call));
  most_in_flight_ = std::max(most_in_flight_, ++in_flight_);
  return script_(request, index);
}

void FakeServer::ReplyWhereDue() {
  // A reply that ends a stream leaves nothing where the stream's other images were.
  for (size_t i = 0; i < waiting_.size(); ++i) {
    if (waiting_[i] != nullptr && waiting_[i]->IsDue(calls_.size())) {
      std::exchange(waiting_[i], nullptr)->SendReply();
    }
  }
  waiting_.erase(std::remove(waiting_.begin(), waiting_.end(), nullptr), waiting_.end());
}

tome::v1::GetModelResponse FakeServer::ModelFacts() const {
  std::lock_guard lock(mu_);
  tome::v1::GetModelResponse facts;
  facts.mutable_model()->set_name("vit");
  facts.mutable_model()->set_weights_digest(weights_digest_);
  facts.mutable_model()->set_architecture("vit_tiny_patch16_224");
  facts.mutable_model()->set_embedding_dimensions(2);
  facts.mutable_model()->set_token_dimensions(3);
  facts.mutable_model()->set_patch_size(2);
  facts.mutable_model()->set_blocks(12);
  facts.mutable_model()->set_maximum_r(98);
  facts.mutable_model()->mutable_default_merge()->mutable_linear()->set_mean_r(8);
  facts.mutable_model()->mutable_default_merge()->mutable_linear()->set_inflection(-1.0);
  facts.mutable_limits()->set_encoded_bytes(1000);
  facts.mutable_limits()->set_images_per_call(12);
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
