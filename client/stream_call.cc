#include "client/stream_call.h"

#include <grpc/support/time.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include "client/deadline.h"
#include "client/status.h"
#include "client/wire.h"

namespace tome::client {
namespace {

// How long a server may take to end a call that has nothing left to answer.
constexpr std::chrono::seconds kEndInOrder(5);

// An EmbedStreamRequest's id, timeout and tags around its request.
constexpr uint64_t kMessageOverhead = 64;

absl::Status TooLargeError(uint64_t bytes, uint64_t limit, const std::string& request_id) {
  return MakeStatus(
      absl::StatusCode::kInvalidArgument,
      absl::StrCat("the image's message has ", bytes, " bytes, the server takes at most ", limit),
      "", request_id);
}

absl::Status CancelledError(const std::string& request_id) {
  return MakeStatus(absl::StatusCode::kCancelled, "the stream was cancelled", "", request_id);
}

}  // namespace

// One EmbedStream call. Deletes itself when it has ended.
class StreamCall::Attempt final
    : public grpc::ClientBidiReactor<tome::v1::EmbedStreamRequest, tome::v1::EmbedStreamResponse> {
 public:
  explicit Attempt(std::shared_ptr<StreamCall> stream) : stream_(std::move(stream)) {
    context_->AddMetadata("x-request-id", stream_->request_id_);
    if (!stream_->bearer_token_.empty()) {
      context_->AddMetadata("authorization", "Bearer " + stream_->bearer_token_);
    }
  }

  // What follows may end it at once.
  void Start() {
    stream_->stub_.async()->EmbedStream(context_.get(), this);
    // Writes start outside its reactions, until reading fails.
    AddHold();
    StartRead(&response_);
    {
      std::lock_guard lock(stream_->mu_);
      reading_ = true;
    }
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (ok) {
      stream_->Answered(response_);
      StartRead(&response_);
      return;
    }
    {
      std::lock_guard lock(stream_->mu_);
      reading_ = false;
    }
    RemoveHold();
  }

  void OnWriteDone(bool) override {
    {
      std::lock_guard lock(stream_->mu_);
      message_.reset();
    }
    stream_->Pump();
  }

  void OnDone(const grpc::Status& status) override {
    std::optional<std::string> pushback;
    const auto& trailers = context_->GetServerTrailingMetadata();
    if (const auto found = trailers.find("grpc-retry-pushback-ms"); found != trailers.end()) {
      pushback = std::string(found->second.data(), found->second.size());
    }
    {
      std::lock_guard lock(stream_->mu_);
      // It holds the channel. Whoever waits for the end may destroy the client, after which the
      // channel would end here, and gRPC's threads with it: on one of them.
      context_.reset();
    }
    stream_->AttemptEnded(status, pushback);
    delete this;
  }

  // With the stream's lock held.
  void TryCancel() {
    if (context_ != nullptr) context_->TryCancel();
  }
  bool CanWrite() const { return reading_ && message_ == nullptr && !writes_done_; }
  // Then, too; what it returns is called without the lock.
  void SetMessage(std::shared_ptr<tome::v1::EmbedStreamRequest> message) {
    message_ = std::move(message);
    AddHold();
  }
  void SetWritesDone() {
    writes_done_ = true;
    AddHold();
  }
  void WriteMessage(const tome::v1::EmbedStreamRequest* message) {
    StartWrite(message);
    RemoveHold();
  }
  void HalfClose() {
    StartWritesDone();
    RemoveHold();
  }

 private:
  std::shared_ptr<StreamCall> stream_;
  std::unique_ptr<grpc::ClientContext> context_ = std::make_unique<grpc::ClientContext>();
  tome::v1::EmbedStreamResponse response_;
  // Guarded by the stream's lock.
  bool reading_ = false;
  bool writes_done_ = false;
  std::shared_ptr<tome::v1::EmbedStreamRequest> message_;  // being written
};

StreamCall::StreamCall(CallsUnderWay& calls, tome::v1::EmbeddingService::Stub& stub,
                       StreamOptions options, RetryPolicy retry, std::string bearer_token,
                       std::string request_id)
    : calls_(calls),
      stub_(stub),
      options_(std::move(options)),
      retry_(retry),
      bearer_token_(std::move(bearer_token)),
      request_id_(std::move(request_id)),
      retries_(retry) {}

void StreamCall::Open() {
  if (!calls_.Add(shared_from_this())) Cancel();
}

void StreamCall::Embed(ImageInput image, std::optional<Schedule> schedule, Done done) {
  auto request = std::make_shared<tome::v1::EmbedStreamRequest>();
  EmbedOptions options = options_;
  if (schedule.has_value()) options.schedule = std::move(schedule);
  *request->mutable_request() = ToWire(std::move(image), options);
  const uint64_t bytes = request->ByteSizeLong() + kMessageOverhead;
  if (options_.message_bytes > 0 && bytes > options_.message_bytes) {
    return done(TooLargeError(bytes, options_.message_bytes, request_id_));
  }
  std::unique_lock lock(mu_);
  changed_.wait(lock, [this] { return cancelled_ || unfinished_ < options_.window; });
  if (cancelled_) {
    lock.unlock();
    return done(CancelledError(request_id_));
  }
  const uint64_t id = next_id_++;
  request->set_id(id);
  Image& added = unanswered_[id];
  added.request = std::move(request);
  added.deadline = DeadlineAfter(options_.timeout);
  added.done = std::move(done);
  added.alarm = std::make_unique<grpc::Alarm>();
  added.alarm->Set(After(options_.timeout), [self = shared_from_this(), id](bool expired) {
    if (expired) self->Expired(id);
  });
  unsent_.insert(id);
  ++unfinished_;
  lock.unlock();
  Pump();
}

void StreamCall::Pump() {
  Attempt* started = nullptr;
  Attempt* half_closed = nullptr;
  Attempt* writer = nullptr;
  const tome::v1::EmbedStreamRequest* message = nullptr;
  {
    std::lock_guard lock(mu_);
    if (attempt_ == nullptr) {
      if (cancelled_ || wait_ != nullptr || unsent_.empty()) return;
      attempt_ = started = new Attempt(shared_from_this());
    } else if (attempt_->CanWrite()) {
      if (!open_ || (unfinished_ == 0 && finishing_ > 0)) {
        half_closed = attempt_;
        half_closed->SetWritesDone();
      } else if (!unsent_.empty()) {
        const Image& image = unanswered_.at(*unsent_.begin());
        unsent_.erase(unsent_.begin());
        const absl::Duration left = std::max(Until(image.deadline), absl::Milliseconds(1));
        *image.request->mutable_timeout() = ToWire(left);
        writer = attempt_;
        writer->SetMessage(image.request);
        message = image.request.get();
      }
    }
  }
  if (half_closed != nullptr) half_closed->HalfClose();
  if (writer != nullptr) writer->WriteMessage(message);
  if (started != nullptr) {
    started->Start();
    Pump();
  }
}

void StreamCall::Answered(const tome::v1::EmbedStreamResponse& response) {
  std::vector<Ended> ended;
  {
    std::lock_guard lock(mu_);
    const auto image = unanswered_.find(response.id());
    // Too late, or an id that was never sent.
    if (image == unanswered_.end()) return;
    absl::StatusOr<Embedding> result =
        FromWire(response.result(), response.model(), request_id_, image->second.retries);
    if (absl::IsUnavailable(result.status()) &&
        image->second.retries < retry_.max_unavailable_retries) {
      open_ = false;
    } else {
      // A server that answers is there: what counts is how often it is not, one time after the
      // other.
      retries_ = Retries(retry_);
      ended.push_back(Take(image, std::move(result)));
    }
  }
  CallBack(std::move(ended));
  Pump();
}

void StreamCall::Expired(uint64_t id) {
  std::vector<Ended> ended;
  {
    std::lock_guard lock(mu_);
    const auto image = unanswered_.find(id);
    if (image == unanswered_.end()) return;
    ended.push_back(
        Take(image, NoAnswerError(options_.timeout, request_id_, image->second.retries)));
  }
  CallBack(std::move(ended));
  Pump();
}

void StreamCall::AttemptEnded(const grpc::Status& status,
                              const std::optional<std::string>& pushback) {
  std::vector<Ended> ended;
  {
    std::lock_guard lock(mu_);
    attempt_ = nullptr;
    open_ = true;
    changed_.notify_all();
    if (cancelled_ || unanswered_.empty()) return;
    // Without an error it was the server that would not go on.
    const grpc::Status reason =
        status.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server ended the stream")
                    : status;
    absl::InsecureBitGen random;
    const std::optional<absl::Duration> wait = retries_.Next(
        static_cast<absl::StatusCode>(reason.error_code()), pushback,
        absl::Uniform(random, 0.0, 1.0), Until(unanswered_.rbegin()->second.deadline));
    if (!wait.has_value()) retries_ = Retries(retry_);
    for (auto image = unanswered_.begin(); image != unanswered_.end();) {
      const auto current = image++;
      if (unsent_.count(current->first) > 0) continue;
      if (wait.has_value()) {
        ++current->second.retries;
        unsent_.insert(current->first);
      } else {
        ended.push_back(Take(
            current, CallError(reason, options_.timeout, request_id_, current->second.retries)));
      }
    }
    if (wait.has_value()) {
      wait_ = std::make_unique<grpc::Alarm>();
      wait_->Set(After(*wait), [self = shared_from_this()](bool) {
        {
          std::lock_guard waited(self->mu_);
          self->wait_.reset();
          self->changed_.notify_all();
        }
        self->Pump();
      });
    }
  }
  CallBack(std::move(ended));
  Pump();
}

void StreamCall::Finish() {
  std::unique_lock lock(mu_);
  ++finishing_;
  changed_.wait(lock, [this] { return unfinished_ == 0; });
  lock.unlock();
  Pump();
  lock.lock();
  const auto ended = [this] { return attempt_ == nullptr || unfinished_ > 0; };
  if (!changed_.wait_for(lock, kEndInOrder, ended)) attempt_->TryCancel();
  changed_.wait(lock, ended);
  --finishing_;
}

void StreamCall::Cancel() {
  std::vector<Ended> ended;
  {
    std::lock_guard lock(mu_);
    cancelled_ = true;
    if (attempt_ != nullptr) attempt_->TryCancel();
    if (wait_ != nullptr) wait_->Cancel();
    for (auto image = unanswered_.begin(); image != unanswered_.end();) {
      ended.push_back(Take(image++, CancelledError(request_id_)));
    }
    changed_.notify_all();
  }
  CallBack(std::move(ended));
}

void StreamCall::Close() {
  {
    std::unique_lock lock(mu_);
    changed_.wait(lock,
                  [this] { return attempt_ == nullptr && wait_ == nullptr && unfinished_ == 0; });
  }
  calls_.Remove(shared_from_this());
}

StreamCall::Ended StreamCall::Take(Images::iterator image, absl::StatusOr<Embedding> result) {
  image->second.alarm->Cancel();
  unsent_.erase(image->first);
  Ended ended(std::move(image->second.done), std::move(result));
  unanswered_.erase(image);
  return ended;
}

void StreamCall::CallBack(std::vector<Ended> ended) {
  for (Ended& image : ended) {
    image.first(std::move(image.second));
    // What it holds is gone before whoever waits goes on.
    image.first = nullptr;
    std::lock_guard lock(mu_);
    --unfinished_;
    changed_.notify_all();
  }
}

EmbedStream::EmbedStream(std::shared_ptr<StreamCall> call) : call_(std::move(call)) {}

EmbedStream::~EmbedStream() {
  call_->Cancel();
  call_->Close();
}

void EmbedStream::Embed(ImageInput image, std::optional<Schedule> schedule, Done done) {
  call_->Embed(std::move(image), std::move(schedule), std::move(done));
}

void EmbedStream::Finish() { call_->Finish(); }

void EmbedStream::Cancel() { call_->Cancel(); }

}  // namespace tome::client
