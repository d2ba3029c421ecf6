#include "tests/rpc/loopback_server.h"

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <utility>

namespace tome {
namespace {

std::unique_ptr<RpcServer> StartServer(const LoopbackOptions& options, EmbeddingRpc& rpc) {
  absl::StatusOr<std::unique_ptr<RpcServer>> server =
      RpcServer::Start({.listen = "127.0.0.1:0",
                        .credentials = options.credentials,
                        .max_message_bytes = options.max_message_bytes},
                       rpc);
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

std::multimap<std::string, std::string> Copy(
    const std::multimap<grpc::string_ref, grpc::string_ref>& metadata) {
  std::multimap<std::string, std::string> copy;
  for (const auto& [key, value] : metadata) {
    copy.emplace(std::string(key.data(), key.size()), std::string(value.data(), value.size()));
  }
  return copy;
}

}  // namespace

LoopbackServer::LoopbackServer(LoopbackOptions options)
    : engine(options.facts),
      admission_(options.max_admitted_images, clock, metrics),
      batcher_("small", engine, clock, metrics, {.max_images = options.max_batch_images}),
      service(decode_pool_, clock, metrics, EmbeddingService::Options()),
      rpc(service, metrics, clock,
          {.tokens = std::move(options.tokens),
           .max_message_bytes = options.max_message_bytes,
           .max_receive_bytes = options.max_receive_bytes,
           .max_stream_images = options.max_stream_images}),
      server(StartServer(options, rpc)),
      stub(v1::EmbeddingService::NewStub(Connect())) {
  batcher_.Start();
}

LoopbackServer::~LoopbackServer() {
  server->Shutdown(absl::ZeroDuration());
  service.WaitUntilIdle(absl::InfiniteFuture());
}

void LoopbackServer::Serve() {
  service.Serve({{.name = "small",
                  .facts = &engine.facts(),
                  .admission = &admission_,
                  .batcher = &batcher_,
                  .default_schedule = MergeSchedule::Constant{.r = 2}}});
  server->SetServing(true);
}

std::shared_ptr<grpc::Channel> LoopbackServer::Connect() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(server->address(), grpc::InsecureChannelCredentials(),
                                   arguments);
}

v1::EmbedRequest SmallRequest(char shade) {
  v1::EmbedRequest request;
  v1::RawImage* image = request.mutable_input()->mutable_model_pixels();
  image->set_height(8);
  image->set_width(8);
  image->set_data(std::string(8 * 8 * 3, shade));
  return request;
}

Reply Embed(v1::EmbeddingService::StubInterface& stub, const v1::EmbedRequest& request,
            grpc::ClientContext& context) {
  Reply reply;
  reply.status = stub.Embed(&context, request, &reply.response);
  reply.initial_metadata = Copy(context.GetServerInitialMetadata());
  reply.trailing_metadata = Copy(context.GetServerTrailingMetadata());
  return reply;
}

Reply Embed(v1::EmbeddingService::StubInterface& stub, const v1::EmbedRequest& request) {
  grpc::ClientContext context;
  return Embed(stub, request, context);
}

std::string ValueOf(const std::multimap<std::string, std::string>& metadata,
                    const std::string& key) {
  return metadata.count(key) == 1 ? metadata.find(key)->second : "";
}

}  // namespace tome
