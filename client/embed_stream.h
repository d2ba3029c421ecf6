#ifndef TOME_CLIENT_EMBED_STREAM_H_
#define TOME_CLIENT_EMBED_STREAM_H_

#include <memory>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "client/client.h"
#include "client/embedding.h"

namespace tome::client {

class StreamCall;

// Any number of images over one EmbedStream call, answered as they are ready. The server slows a
// stream down instead of refusing it. What a stream that broke, or a server that drains, left
// unanswered is sent again as the options' retry policy tells, each image until its own timeout.
// Made by Client::OpenStream; destroy it before its client. Thread-safe.
class EmbedStream {
 public:
  // Cancels what is unanswered and waits for its callbacks.
  ~EmbedStream();
  EmbedStream(const EmbedStream&) = delete;
  EmbedStream& operator=(const EmbedStream&) = delete;

  // `done` is called exactly once, on a thread of gRPC or, after Cancel or Client::Shutdown and for
  // an image that is too large, on the caller's. It must neither block nor call Embed. Without a
  // schedule that of the options counts.
  // Blocks while as many images as the options' window are unanswered.
  using Done = absl::AnyInvocable<void(absl::StatusOr<Embedding>)>;
  void Embed(ImageInput image, std::optional<Schedule> schedule, Done done);

  // Waits until every image is answered, then ends the call in order. More images may follow.
  void Finish();

  // What is unanswered ends CANCELLED, as does every later image. Does not wait. Idempotent.
  void Cancel();

 private:
  friend class Client;
  explicit EmbedStream(std::shared_ptr<StreamCall> call);

  const std::shared_ptr<StreamCall> call_;
};

}  // namespace tome::client

#endif  // TOME_CLIENT_EMBED_STREAM_H_
