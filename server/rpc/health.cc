#include "server/rpc/health.h"

#include <optional>
#include <utility>

namespace tome {
namespace {

using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;

constexpr char kLiveness[] = "liveness";

}  // namespace

// One Watch call. What it holds is guarded by the service's mutex, which outlives it: once Finish
// is called, OnDone may delete it as soon as the mutex is free.
class HealthService::Watcher final : public grpc::ServerWriteReactor<HealthCheckResponse> {
 public:
  Watcher(HealthService& health, std::string watched) : name(std::move(watched)), health_(health) {}

  void OnWriteDone(bool ok) override {
    MutexLock lock(health_.mu_);
    writing = false;
    // A message that cannot be sent has lost its reader.
    cancelled |= !ok;
    health_.SendNext(*this);
  }

  void OnCancel() override {
    MutexLock lock(health_.mu_);
    cancelled = true;
    health_.SendNext(*this);
  }

  void OnDone() override {
    {
      MutexLock lock(health_.mu_);
      health_.watchers_.erase(this);
    }
    delete this;
  }

  const std::string name;
  HealthCheckResponse response;
  std::optional<HealthCheckResponse::ServingStatus> sent;
  bool writing = false;
  bool cancelled = false;
  bool finished = false;

 private:
  HealthService& health_;
};

HealthService::HealthService(absl::string_view service) : service_(service) {}

void HealthService::SetServing(bool serving) {
  MutexLock lock(mu_);
  serving_ = serving;
  for (Watcher* watcher : watchers_) SendNext(*watcher);
}

void HealthService::EndWatches() {
  MutexLock lock(mu_);
  ending_ = true;
  for (Watcher* watcher : watchers_) SendNext(*watcher);
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
  SendNext(*watcher);
  return watcher;
}

void HealthService::SendNext(Watcher& watcher) {
  if (watcher.writing || watcher.finished) return;
  const HealthCheckResponse::ServingStatus status = StatusOf(watcher.name);
  if (watcher.cancelled) {
    watcher.finished = true;
    watcher.Finish(grpc::Status::CANCELLED);
  } else if (watcher.sent != status) {
    watcher.sent = status;
    watcher.writing = true;
    watcher.response.set_status(status);
    watcher.StartWrite(&watcher.response);
  } else if (ending_) {
    watcher.finished = true;
    watcher.Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server is shutting down"));
  }
}

HealthCheckResponse::ServingStatus HealthService::StatusOf(const std::string& name) const {
  if (name == kLiveness) return HealthCheckResponse::SERVING;
  if (!name.empty() && name != service_) return HealthCheckResponse::SERVICE_UNKNOWN;
  return serving_ ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

}  // namespace tome
