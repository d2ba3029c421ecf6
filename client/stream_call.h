#ifndef TOME_CLIENT_STREAM_CALL_H_
#define TOME_CLIENT_STREAM_CALL_H_

#include <grpcpp/alarm.h>
#include <grpcpp/client_context.h>
#include <tome/v1/embedding.grpc.pb.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "client/calls_under_way.h"
#include "client/client.h"
#include "client/embed_stream.h"
#include "client/retry.h"

namespace tome::client {

// What is behind an EmbedStream: the images that are unanswered, and the EmbedStream calls, one
// after the other, that carry them. Each image ends once: by its answer, by its timeout, by
// Cancel, or by the end of a call that no other can mend. Thread-safe.
class StreamCall final : public PendingCall, public std::enable_shared_from_this<StreamCall> {
 public:
  using Done = EmbedStream::Done;

  // `calls` and `stub` outlive it. `retry`, `bearer_token` and `request_id` are settled: the
  // options' own are not looked at.
  StreamCall(CallsUnderWay& calls, tome::v1::EmbeddingService::Stub& stub, StreamOptions options,
             RetryPolicy retry, std::string bearer_token, std::string request_id);

  // Adds it to `calls`; it is cancelled from the start if they take no more.
  void Open();
  void Embed(ImageInput image, std::optional<Schedule> schedule, Done done);
  void Finish();
  void Cancel() override;
  // After Cancel: waits for the callbacks and the call, then leaves `calls`.
  void Close();

 private:
  class Attempt;
  using SteadyClock = std::chrono::steady_clock;
  using Ended = std::pair<Done, absl::StatusOr<Embedding>>;

  struct Image {
    // Shared with the attempt that is writing it.
    std::shared_ptr<tome::v1::EmbedStreamRequest> request;
    SteadyClock::time_point deadline;
    int retries = 0;
    Done done;
    std::unique_ptr<grpc::Alarm> alarm;  // at the deadline
  };
  using Images = std::map<uint64_t, Image>;

  // Starts, feeds or half-closes the attempt, as there is need.
  void Pump();
  void Answered(const tome::v1::EmbedStreamResponse& response);
  void Expired(uint64_t id);
  void AttemptEnded(const grpc::Status& status, const std::optional<std::string>& pushback);

  // With the lock held: takes the image out; it ends with `result`.
  Ended Take(Images::iterator image, absl::StatusOr<Embedding> result);
  // Without it: calls back.
  void CallBack(std::vector<Ended> ended);

  CallsUnderWay& calls_;
  tome::v1::EmbeddingService::Stub& stub_;
  const StreamOptions options_;
  const RetryPolicy retry_;
  const std::string bearer_token_;
  const std::string request_id_;

  std::mutex mu_;
  std::condition_variable changed_;
  // Guarded by mu_.
  bool cancelled_ = false;
  uint64_t next_id_ = 0;
  Images unanswered_;
  std::set<uint64_t> unsent_;  // of them, by this attempt
  int unfinished_ = 0;         // images whose callback has not returned
  int finishing_ = 0;          // calls of Finish that wait for the attempt's end
  // Whether this attempt may be given more: not after the server said of an image that it is not
  // available.
  bool open_ = true;
  Retries retries_;
  Attempt* attempt_ = nullptr;         // owns itself until it ends
  std::unique_ptr<grpc::Alarm> wait_;  // for the next attempt
};

}  // namespace tome::client

#endif  // TOME_CLIENT_STREAM_CALL_H_
