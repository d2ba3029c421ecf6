#ifndef TOME_CLIENT_UNARY_CALL_H_
#define TOME_CLIENT_UNARY_CALL_H_

#include <grpcpp/alarm.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/random/random.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "client/calls_under_way.h"
#include "client/deadline.h"
#include "client/retry.h"

namespace tome::client {

// One call with its attempts and the waits between them, all within one deadline. Lives in its
// CallsUnderWay from Start until `done` has returned.
template <typename Request, typename Response>
class UnaryCall final : public PendingCall,
                        public std::enable_shared_from_this<UnaryCall<Request, Response>> {
 public:
  // Sends one attempt; the callback comes on a thread of gRPC, never inside.
  using Send = std::function<void(grpc::ClientContext*, const Request*, Response*,
                                  std::function<void(grpc::Status)>)>;
  // Called once. The response is meaningful if the status is OK; `retries` attempts came before.
  using Done = absl::AnyInvocable<void(const grpc::Status&, Response, int retries)>;

  struct Parameters {
    absl::Duration timeout;
    std::string request_id;
    std::string bearer_token;
    RetryPolicy retry;
  };

  static void Start(CallsUnderWay& calls, Send send, Request request, Parameters parameters,
                    Done done) {
    std::shared_ptr<UnaryCall> call(new UnaryCall(calls, std::move(send), std::move(request),
                                                  std::move(parameters), std::move(done)));
    if (calls.Add(call)) {
      call->SendAttempt();
    } else {
      call->done_(Cancelled(), Response(), 0);
    }
  }

  void Cancel() override {
    std::lock_guard lock(mu_);
    cancelled_ = true;
    if (context_ != nullptr) context_->TryCancel();
    if (wait_ != nullptr) wait_->Cancel();
  }

 private:
  UnaryCall(CallsUnderWay& calls, Send send, Request request, Parameters parameters, Done done)
      : calls_(calls),
        send_(std::move(send)),
        request_(std::move(request)),
        parameters_(std::move(parameters)),
        deadline_(DeadlineAfter(parameters_.timeout)),
        retries_(parameters_.retry),
        done_(std::move(done)) {}

  static grpc::Status Cancelled() {
    return grpc::Status(grpc::StatusCode::CANCELLED, "the client was shut down");
  }

  absl::Duration Remaining() const { return Until(deadline_); }

  void SendAttempt() {
    grpc::ClientContext* context = nullptr;
    {
      std::lock_guard lock(mu_);
      if (!cancelled_) {
        context_ = std::make_unique<grpc::ClientContext>();
        context = context_.get();
      }
    }
    if (context == nullptr) return Finish(Cancelled());
    context->set_deadline(After(Remaining()));
    context->AddMetadata("x-request-id", parameters_.request_id);
    if (!parameters_.bearer_token.empty()) {
      context->AddMetadata("authorization", "Bearer " + parameters_.bearer_token);
    }
    response_ = Response();
    send_(context, &request_, &response_,
          [self = this->shared_from_this()](const grpc::Status& status) {
            self->AttemptEnded(status);
          });
  }

  void AttemptEnded(const grpc::Status& status) {
    if (status.ok() || !WaitForNextAttempt(status)) Finish(status);
  }

  // False if the failure is final.
  bool WaitForNextAttempt(const grpc::Status& status) {
    std::lock_guard lock(mu_);
    if (cancelled_) return false;
    std::optional<absl::string_view> pushback;
    const auto& trailers = context_->GetServerTrailingMetadata();
    if (const auto found = trailers.find("grpc-retry-pushback-ms"); found != trailers.end()) {
      pushback = absl::string_view(found->second.data(), found->second.size());
    }
    absl::InsecureBitGen random;
    const std::optional<absl::Duration> wait =
        retries_.Next(static_cast<absl::StatusCode>(status.error_code()), pushback,
                      absl::Uniform(random, 0.0, 1.0), Remaining());
    if (!wait.has_value()) return false;
    wait_ = std::make_unique<grpc::Alarm>();
    wait_->Set(After(*wait), [self = this->shared_from_this()](bool expired) {
      expired ? self->SendAttempt() : self->Finish(Cancelled());
    });
    return true;
  }

  void Finish(const grpc::Status& status) {
    // Whoever waits for the last call to be removed may destroy the client and its channel.
    const std::shared_ptr<UnaryCall> self = this->shared_from_this();
    {
      std::lock_guard lock(mu_);
      context_.reset();
      wait_.reset();  // holds this call through its callback
    }
    std::exchange(send_, nullptr);
    std::exchange(done_, nullptr)(status, std::move(response_), retries_.count());
    calls_.Remove(self);
  }

  CallsUnderWay& calls_;
  // Touched by one attempt at a time.
  Send send_;
  const Request request_;
  Response response_;
  const Parameters parameters_;
  const std::chrono::steady_clock::time_point deadline_;
  Retries retries_;
  Done done_;

  std::mutex mu_;
  // Guarded by mu_.
  bool cancelled_ = false;
  std::unique_ptr<grpc::ClientContext> context_;  // of the latest attempt
  std::unique_ptr<grpc::Alarm> wait_;             // the latest wait
};

}  // namespace tome::client

#endif  // TOME_CLIENT_UNARY_CALL_H_
