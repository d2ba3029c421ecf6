#include "server/rpc/embed_stream.h"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"

#include "server/base/cancellation.h"
#include "server/base/status.h"
#include "server/rpc/call.h"
#include "server/rpc/convert.h"
#include "server/rpc/status.h"

namespace tome {

// One EmbedStream call. Whatever happens to it changes its state under its mutex and then calls
// Advance, which starts what the state allows; gRPC calls back from its own threads only, never
// from within what is started here.
class EmbedStream final : public EmbedStreams::Reactor {
 public:
  EmbedStream(EmbedStreams& streams, grpc::CallbackServerContext& context)
      : streams_(streams), call_(Method::kEmbedStream, context, streams.metrics_, streams.clock_) {}

  void Refuse(const absl::Status& refusal) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    finished_ = true;
    Finish(call_.End(refusal));
  }

  void Start(bool ending) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    // At once: a caller may wait for it before it sends anything.
    StartSendInitialMetadata();
    ending_ = ending;
    Advance();
  }

  // Reads no more.
  void End() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    ending_ = true;
    Advance();
  }

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_) {
    const v1::EmbedStreamRequest* message = nullptr;
    {
      MutexLock lock(mu_);
      reading_ = false;
      half_closed_ |= !ok;
      if (ok && !finished_) message = Take();
      Advance();
    }
    if (message != nullptr) Embed(*message);
  }

  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    writing_ = false;
    // An answer that cannot be sent has lost its reader.
    if (!ok) Abandon();
    Advance();
  }

  void OnCancel() override ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    Abandon();
    Advance();
  }

  void OnDone() override ABSL_LOCKS_EXCLUDED(mu_) {
    streams_.Remove(this);
    // Whoever called Finish did so under the mutex.
    { MutexLock lock(mu_); }
    delete this;
  }

 private:
  struct Outgoing {
    v1::EmbedStreamResponse message;
    bool ends_id;  // whether its id is free once it is on its way
  };
  struct Waiting {
    uint64_t id;
    int64_t bytes;
  };

  // What was read, as an image under way; null if it is answered already. Leaves nothing of it in
  // read_, which would be memory that nobody counts.
  const v1::EmbedStreamRequest* Take() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    auto message = std::make_unique<v1::EmbedStreamRequest>(std::move(read_));
    const uint64_t id = message->id();
    const auto [image, is_new] = images_.try_emplace(id);
    if (!is_new) {
      Put(id, InvalidField("id", absl::StrCat(id, " is still in flight")), /*ends_id=*/false);
      return nullptr;
    }
    const auto bytes = static_cast<int64_t>(message->ByteSizeLong());
    if (!streams_.AddWaiting(bytes)) {
      streams_.metrics_.ImagesDropped(DropReason::kFull);
      Put(id,
          absl::UnavailableError(absl::StrCat(
              "the images of streams that wait for a place have ",
              streams_.limits_.max_waiting_bytes,
              " bytes at most, this one would be more: send it again, best to another server")),
          /*ends_id=*/true);
      return nullptr;
    }
    waiting_ = {.id = id, .bytes = bytes};
    ++computing_;
    image->second = std::move(message);
    return image->second.get();
  }

  void EndWait(uint64_t id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!waiting_.has_value() || waiting_->id != id) return;
    streams_.RemoveWaiting(waiting_->bytes);
    waiting_.reset();
  }

  void Embed(const v1::EmbedStreamRequest& message) ABSL_LOCKS_EXCLUDED(mu_) {
    const uint64_t id = message.id();
    absl::StatusOr<EmbedCall> call = ToEmbedCall(message, streams_.clock_.Now());
    if (!call.ok()) return Answer(id, call.status());
    call->deadline = std::min(call->deadline, call_.deadline());
    call->cancellation = cancellation_;
    streams_.service_.EmbedOfStream(
        *std::move(call), [this, id] { Admitted(id); },
        [this, id](absl::StatusOr<EmbedAnswer> answer) {
          if (!answer.ok()) answer = WithFieldParent(answer.status(), "request");
          Answer(id, std::move(answer));
        });
  }

  void Admitted(uint64_t id) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    EndWait(id);
    Advance();
  }

  void Answer(uint64_t id, absl::StatusOr<EmbedAnswer> answer) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    EndWait(id);
    --computing_;
    images_[id].reset();
    Put(id, std::move(answer), /*ends_id=*/true);
    Advance();
  }

  void Put(uint64_t id, absl::StatusOr<EmbedAnswer> answer, bool ends_id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (abandoned_) return;
    Outgoing& outgoing = outgoing_.emplace_back();
    outgoing.ends_id = ends_id;
    outgoing.message.set_id(id);
    if (answer.ok()) {
      FillResponse(*std::move(answer), &outgoing.message);
    } else {
      *outgoing.message.mutable_result()->mutable_error() =
          ToRichStatus(answer.status(), call_.request_id());
    }
  }

  // Nobody reads answers any more.
  void Abandon() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    abandoned_ = true;
    cancellation_.Cancel();
    outgoing_.clear();
  }

  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (finished_) return;
    if (!writing_ && !outgoing_.empty()) {
      writing_ = true;
      written_ = std::move(outgoing_.front().message);
      if (outgoing_.front().ends_id) images_.erase(written_.id());
      outgoing_.pop_front();
      StartWrite(&written_);
    }
    const int under_way = computing_ + static_cast<int>(outgoing_.size()) + (writing_ ? 1 : 0);
    const bool reads_on = !half_closed_ && !ending_ && !abandoned_;
    if (under_way == 0 && !reads_on) {
      finished_ = true;
      Finish(abandoned_     ? call_.EndAbandoned()
             : half_closed_ ? call_.End(absl::OkStatus())
                            : call_.End(absl::UnavailableError(
                                  "draining: send what is not answered to another server")));
    } else if (reads_on && !reading_ && !waiting_.has_value() &&
               under_way < streams_.limits_.max_images) {
      reading_ = true;
      StartRead(&read_);
    }
  }

  EmbedStreams& streams_;
  Call call_;  // ended once, under mu_
  Cancellation cancellation_;

  Mutex mu_;
  v1::EmbedStreamRequest read_ ABSL_GUARDED_BY(mu_);
  v1::EmbedStreamResponse written_ ABSL_GUARDED_BY(mu_);
  // By id, until the answer is on its way. The message goes when it is computed.
  std::unordered_map<uint64_t, std::unique_ptr<const v1::EmbedStreamRequest>> images_
      ABSL_GUARDED_BY(mu_);
  int computing_ ABSL_GUARDED_BY(mu_) = 0;               // read and not yet answered by the service
  std::optional<Waiting> waiting_ ABSL_GUARDED_BY(mu_);  // the image that has no place yet
  std::deque<Outgoing> outgoing_ ABSL_GUARDED_BY(mu_);
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool half_closed_ ABSL_GUARDED_BY(mu_) = false;  // the caller sends no more
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  bool abandoned_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

EmbedStreams::EmbedStreams(EmbeddingService& service, Metrics& metrics, Clock& clock, Limits limits)
    : service_(service), metrics_(metrics), clock_(clock), limits_(limits) {}

EmbedStreams::Reactor* EmbedStreams::Open(grpc::CallbackServerContext& context,
                                          const absl::Status& refusal) {
  auto* stream = new EmbedStream(*this, context);
  if (!refusal.ok()) {
    stream->Refuse(refusal);
    return stream;
  }
  MutexLock lock(mu_);
  streams_.insert(stream);
  stream->Start(ending_);
  return stream;
}

void EmbedStreams::EndAll() {
  MutexLock lock(mu_);
  ending_ = true;
  for (EmbedStream* stream : streams_) stream->End();
}

void EmbedStreams::Remove(EmbedStream* stream) {
  MutexLock lock(mu_);
  streams_.erase(stream);
}

bool EmbedStreams::AddWaiting(int64_t bytes) {
  int64_t waiting = waiting_bytes_.load();
  do {
    if (waiting + bytes > limits_.max_waiting_bytes) return false;
  } while (!waiting_bytes_.compare_exchange_weak(waiting, waiting + bytes));
  return true;
}

void EmbedStreams::RemoveWaiting(int64_t bytes) { waiting_bytes_.fetch_sub(bytes); }

}  // namespace tome
