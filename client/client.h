#ifndef TOME_CLIENT_CLIENT_H_
#define TOME_CLIENT_CLIENT_H_

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "client/embedding.h"
#include "client/retry.h"

namespace tome::client {

// PEM files. An empty name: the system's roots, and no client certificate.
struct TlsFiles {
  std::string ca_file;
  std::string certificate_file;  // needs key_file
  std::string key_file;
};

struct ClientOptions {
  // HOST:PORT, or any gRPC target, such as ipv4:10.0.0.1:50051,10.0.0.2:50051. A name that resolves
  // to several addresses spreads the calls over those that report themselves healthy.
  std::string server;
  std::optional<TlsFiles> tls;  // absent: plain text
  std::string bearer_token;     // empty: none is sent
  RetryPolicy retry;
};

// Of any call.
struct CallOptions {
  absl::Duration timeout = absl::Seconds(30);  // over all attempts and the waits between them; > 0
  std::string request_id;                      // x-request-id; empty: one is made up
  std::optional<RetryPolicy> retry;            // absent: the client's
};

struct EmbedOptions : CallOptions {
  std::string model;                 // may be empty where the server holds one model
  std::optional<Schedule> schedule;  // absent: the server's default for the model
  OutputSpec output;
  // If set and not the digest of the weights: FAILED_PRECONDITION, so that vectors of two models
  // never meet.
  std::string if_weights_digest;
};

enum class HealthStatus { kServing, kNotServing, kServiceUnknown };

// An image of a batch.
struct BatchItem {
  ImageInput image;
  std::optional<Schedule> schedule;  // absent: the call's
};
// One an item, in their order.
using BatchResults = std::vector<absl::StatusOr<Embedding>>;

struct StreamOptions : EmbedOptions {  // the timeout is of each image
  int window = 64;                     // images that are unanswered at once; > 0
  // Limits::message_bytes, if it is known: a larger image fails alone, unsent. The server would end
  // the call, and what else is on its way with it.
  uint64_t message_bytes = 0;
};

class EmbedStream;

// The health service's name of the embedding service.
inline constexpr char kEmbeddingServiceName[] = "tome.v1.EmbeddingService";

// Calls one server, or one set of alike servers, over one channel that takes turns among the
// healthy ones. Errors carry the server's code and message, its field and the request's id
// (client/status.h). Refusals are retried as retry.h tells; gRPC's own retries are off, so that
// every attempt is counted here. Thread-safe.
class Client {
 public:
  // INVALID_ARGUMENT for an empty server or a TLS file that cannot be read. Does not connect: the
  // first call does.
  static absl::StatusOr<std::unique_ptr<Client>> Create(const ClientOptions& options);

  // Shutdown(), then waits for the callbacks of the calls under way. REQUIRES: not called from one,
  // and every stream is gone.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  absl::StatusOr<Embedding> Embed(ImageInput image, const EmbedOptions& options = {});

  // `done` is called exactly once, on a thread of gRPC or, after Shutdown, on the caller's. It must
  // not block.
  using EmbedDone = absl::AnyInvocable<void(absl::StatusOr<Embedding>)>;
  void EmbedAsync(ImageInput image, const EmbedOptions& options, EmbedDone done);
  std::future<absl::StatusOr<Embedding>> EmbedAsync(ImageInput image,
                                                    const EmbedOptions& options = {});

  // Several images by one call, admitted whole or not at all; an image that is bad fails alone.
  // client/batches.h sends any number of them.
  absl::StatusOr<BatchResults> EmbedBatch(std::vector<BatchItem> items,
                                          const EmbedOptions& options = {});
  using BatchDone = absl::AnyInvocable<void(absl::StatusOr<BatchResults>)>;
  void EmbedBatchAsync(std::vector<BatchItem> items, const EmbedOptions& options, BatchDone done);
  std::future<absl::StatusOr<BatchResults>> EmbedBatchAsync(std::vector<BatchItem> items,
                                                            const EmbedOptions& options = {});

  // Any number of images over one call (client/embed_stream.h). Connects with its first image.
  std::unique_ptr<EmbedStream> OpenStream(const StreamOptions& options = {});

  absl::StatusOr<std::vector<Model>> ListModels(const CallOptions& options = {});
  // An empty name means the server's only model.
  absl::StatusOr<ModelAndLimits> GetModel(const std::string& name, const CallOptions& options = {});

  // What one server says of itself; an empty service means the server as a whole. Never retried,
  // and over a connection of its own: the channel of the other calls hides servers that are not
  // healthy.
  absl::StatusOr<HealthStatus> Health(const std::string& service = kEmbeddingServiceName,
                                      const CallOptions& options = {});

  // Cancels what is under way, waits between attempts included; it ends CANCELLED, as does every
  // later call. Does not wait. Idempotent.
  void Shutdown();

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace tome::client

#endif  // TOME_CLIENT_CLIENT_H_
