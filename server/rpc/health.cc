#include "server/rpc/health.h"

#include <utility>

namespace tome {
namespace {

using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;

constexpr char kLiveness[] = "liveness";

}  // namespace

// One Watch call: at most one message on its way at a time, and the newest status after it.
// All of it is guarded by the service's mutex, which outlives the watcher: once Finish is called,
// OnDone may delete it as soon as the mutex is free.
class HealthService::Watcher final : public grpc::ServerWriteReactor<HealthCheckResponse> {
 public:
  Watcher(HealthService& health, std::string name) : health_(health), name_(std::move(name)) {}

  void SendNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(health_.mu_) {
    if (writing_ || finished_) return;
    const HealthCheckResponse::ServingStatus status = health_.StatusOf(name_);
    if (cancelled_) {
      finished_ = true;
      Finish(grpc::Status::CANCELLED);
    } else if (sent_ != status) {
      sent_ = status;
      writing_ = true;
      response_.set_status(status);
      StartWrite(&response_);
    } else if (health_.ending_) {
      finished_ = true;
      Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server is shutting down"));
    }
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(health_.mu_);
    writing_ = false;
    // A message that cannot be sent has lost its reader.
    cancelled_ |= !ok;
    SendNext();
  }

  void OnCancel() override {
    MutexLock lock(health_.mu_);
    cancelled_ = true;
    SendNext();
  }

  void OnDone() override {
    {
      MutexLock lock(health_.mu_);
      health_.watchers_.erase(this);
    }
    delete this;
  }

 private:
  HealthService& health_;
  const std::string name_;
  HealthCheckResponse response_;
  std::optional<HealthCheckResponse::ServingStatus> sent_ ABSL_GUARDED_BY(health_.mu_);
  bool writing_ ABSL_GUARDED_BY(health_.mu_) = false;
  bool cancelled_ ABSL_GUARDED_BY(health_.mu_) = false;
  bool finished_ ABSL_GUARDED_BY(health_.mu_) = false;
};

HealthService::HealthService(absl::string_view service) : service_(service) {}

void HealthService::SetServing(bool serving) {
  MutexLock lock(mu_);
  serving_ = serving;
  for (Watcher* watcher : watchers_) watcher->SendNext();
}

void HealthService::EndWatches() {
  MutexLock lock(mu_);
  ending_ = true;
  for (Watcher* watcher : watchers_) watcher->SendNext();
}

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context,
                                               const HealthCheckRequest* request,
                                               HealthCheckResponse* response) {
  HealthCheckResponse::ServingStatus status;
  {
    MutexLock lock(mu_);
    status = StatusOf(request->service());
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
    reactor->Finish(grpc::Status(grpc::StatusCode::NOT_FOUND, "service: not of this server"));
  } else {
    response->set_status(status);
    reactor->Finish(grpc::Status::OK);
  }
  return reactor;
}

grpc::ServerWriteReactor<HealthCheckResponse>* HealthService::Watch(
    grpc::CallbackServerContext*, const HealthCheckRequest* request) {
  auto* watcher = new Watcher(*this, request->service());
  MutexLock lock(mu_);
  watchers_.insert(watcher);
  watcher->SendNext();
  return watcher;
}

HealthCheckResponse::ServingStatus HealthService::StatusOf(const std::string& name) const {
  if (name == kLiveness) return HealthCheckResponse::SERVING;
  if (!name.empty() && name != service_) return HealthCheckResponse::SERVICE_UNKNOWN;
  return serving_ ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

}  // namespace tome
