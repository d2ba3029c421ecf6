#ifndef TOME_TESTS_CLIENT_FAKE_SERVER_H_
#define TOME_TESTS_CLIENT_FAKE_SERVER_H_

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <tome/v1/embedding.grpc.pb.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace tome::client {

// An EmbeddingService on a real socket that answers as the test says. An image of a batch or of a
// stream counts as a call of its own, which the script answers as it would an Embed. Thread-safe.
class FakeServer {
 public:
  struct Reply {
    grpc::Status status;
    tome::v1::EmbedResponse response;
    std::string pushback;  // the grpc-retry-pushback-ms trailer; empty: none
    int after_calls = 0;   // the reply waits until so many Embed calls have come
    bool never = false;
    // Of a stream: an error of this image alone, whatever its code. Without it UNAVAILABLE and
    // RESOURCE_EXHAUSTED end the stream, as they end a batch.
    bool of_image = false;
  };
  // The reply to a call, the first of which has `call` 0.
  using Script = std::function<Reply(const tome::v1::EmbedRequest& request, int call)>;

  // A call that came.
  struct Call {
    tome::v1::EmbedRequest request;
    std::multimap<std::string, std::string> metadata;
    std::chrono::steady_clock::time_point arrived;
    std::chrono::nanoseconds time_left;  // of an image of a stream: its own
  };

  // Serves from now on, on a free port of 127.0.0.1, and reports itself healthy.
  explicit FakeServer(Script script, std::shared_ptr<grpc::ServerCredentials> credentials =
                                         grpc::InsecureServerCredentials());
  ~FakeServer();

  std::string address() const;

  void SetServing(bool serving);

  std::vector<Call> calls() const;
  // The largest number of Embed calls that were unanswered at once.
  int most_in_flight() const;
  // Blocks until so many Embed calls have come.
  void AwaitCalls(int count) const;
  // Images of each EmbedBatch call, and how many EmbedStream calls have come.
  std::vector<int> batches() const;
  int streams() const;

  // Of the weights, as ListModels and GetModel tell it from now on; before, "d1".
  void SetWeightsDigest(const std::string& digest);

  // An OK reply with this float32 vector, from model "vit" with digest "d1".
  static Reply Answer(const std::vector<float>& vector);
  static Reply Error(grpc::StatusCode code, const std::string& message);
  // No reply until the caller gives up.
  static Reply Never();
  // RESOURCE_EXHAUSTED with the hint to come back.
  static Reply Full(const std::string& pushback);

 private:
  class Service;

  // What ListModels and GetModel tell: "vit", 2 dimensions, files of at most 1000 bytes and 12
  // images a call.
  tome::v1::GetModelResponse ModelFacts() const;

  class EmbedReactor;
  class StreamReactor;
  // A call that waits for its reply.
  struct Waiting {
    virtual ~Waiting() = default;
    virtual bool IsDue(size_t calls) const = 0;
    virtual void SendReply() = 0;
  };

  // With the lock held: notes the call and gives its reply.
  Reply Note(const grpc::CallbackServerContext& context, const tome::v1::EmbedRequest& request,
             std::chrono::nanoseconds time_left);

  // Replies that are due by now; the lock is held.
  void ReplyWhereDue();

  const Script script_;
  int port_ = 0;

  mutable std::mutex mu_;
  mutable std::condition_variable called_;
  // Guarded by mu_.
  std::vector<Call> calls_;
  std::vector<Waiting*> waiting_;
  std::vector<int> batches_;
  int streams_ = 0;
  std::string weights_digest_ = "d1";
  int in_flight_ = 0;
  int most_in_flight_ = 0;

  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace tome::client

#endif  // TOME_TESTS_CLIENT_FAKE_SERVER_H_
