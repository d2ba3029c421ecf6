#ifndef TOME_TESTS_CLIENT_FAKE_SERVER_H_
#define TOME_TESTS_CLIENT_FAKE_SERVER_H_

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <tome/v1/embedding.grpc.pb.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace tome::client {

// An EmbeddingService on a real socket that answers as the test says. Thread-safe.
class FakeServer {
 public:
  struct Reply {
    grpc::Status status;
    tome::v1::EmbedResponse response;
    std::string pushback;  // the grpc-retry-pushback-ms trailer; empty: none
    int after_calls = 0;   // the reply waits until so many Embed calls have come
    bool never = false;
  };
  // The reply to an Embed call, the first of which has `call` 0.
  using Script = std::function<Reply(const tome::v1::EmbedRequest& request, int call)>;

  // An Embed call that came.
  struct Call {
    tome::v1::EmbedRequest request;
    std::multimap<std::string, std::string> metadata;
    std::chrono::steady_clock::time_point arrived;
    std::chrono::system_clock::time_point deadline;
  };

  // Serves from now on, on a free port of 127.0.0.1, and reports itself healthy.
  explicit FakeServer(Script script, std::shared_ptr<grpc::ServerCredentials> credentials =
                                         grpc::InsecureServerCredentials());
  ~FakeServer();

  std::string address() const;
  int port() const { return port_; }

  void SetServing(bool serving);

  std::vector<Call> calls() const;
  // The largest number of Embed calls that were unanswered at once.
  int most_in_flight() const;
  // Blocks until so many Embed calls have come.
  void AwaitCalls(int count) const;

  // What ListModels and GetModel tell: "vit", 2 dimensions, digest "d1", and files of at most 1000
  // bytes.
  static tome::v1::GetModelResponse ModelFacts();

  // An OK reply with this float32 vector, from model "vit" with digest "d1".
  static Reply Answer(const std::vector<float>& vector);
  static Reply Error(grpc::StatusCode code, const std::string& message);
  // No reply until the caller gives up.
  static Reply Never();
  // RESOURCE_EXHAUSTED with the hint to come back.
  static Reply Full(const std::string& pushback);

 private:
  class Service;
  class EmbedReactor;

  // Replies that are due by now; the lock is held.
  void ReplyWhereDue();

  const Script script_;
  int port_ = 0;

  mutable std::mutex mu_;
  mutable std::condition_variable called_;
  // Guarded by mu_.
  std::vector<Call> calls_;
  std::vector<EmbedReactor*> waiting_;
  int in_flight_ = 0;
  int most_in_flight_ = 0;

  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace tome::client

#endif  // TOME_TESTS_CLIENT_FAKE_SERVER_H_
