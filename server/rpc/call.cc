#include "server/rpc/call.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "server/base/log.h"
#include "server/rpc/status.h"
#include "server/rpc/trace_context.h"

namespace tome {
namespace {

constexpr char kRequestIdKey[] = "x-request-id";
constexpr char kTraceParentKey[] = "traceparent";
constexpr char kServerTimingKey[] = "server-timing";
constexpr size_t kLongestRequestId = 128;

// Unique among the servers of a fleet by its random start, within a server by its count.
std::string NewRequestId() {
  static const uint64_t server = [] {
    std::random_device random;
    return (uint64_t{random()} << 32) | random();
  }();
  static std::atomic<uint64_t> count = 0;
  return absl::StrFormat("%016x-%x", server, count.fetch_add(1, std::memory_order_relaxed));
}

absl::string_view MetadataOf(const grpc::CallbackServerContext& context, const char* key) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find(key);
  if (found == metadata.end()) return "";
  return {found->second.data(), found->second.size()};
}

std::string RequestIdOf(const grpc::CallbackServerContext& context) {
  const absl::string_view id = MetadataOf(context, kRequestIdKey);
  const bool usable =
      !id.empty() && id.size() <= kLongestRequestId &&
      std::all_of(id.begin(), id.end(), [](char c) { return c >= ' ' && c <= '~'; });
  return usable ? std::string(id) : NewRequestId();
}

// gRPC counts deadlines on the wall clock, we on a steady one: only what remains carries over.
absl::Time DeadlineOf(const grpc::CallbackServerContext& context, absl::Time now) {
  const std::chrono::system_clock::time_point deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteFuture();
  return now + absl::FromChrono(deadline - std::chrono::system_clock::now());
}

absl::string_view MethodName(Method method) {
  switch (method) {
    case Method::kEmbed:
      return "Embed";
    case Method::kEmbedBatch:
      return "EmbedBatch";
    case Method::kEmbedStream:
      return "EmbedStream";
    case Method::kListModels:
      return "ListModels";
    case Method::kGetModel:
      return "GetModel";
  }
  return "";
}

}  // namespace

Call::Call(Method method, grpc::CallbackServerContext& context, Metrics& metrics, Clock& clock)
    : method_(method),
      context_(context),
      metrics_(metrics),
      clock_(clock),
      arrival_(clock.Now()),
      deadline_(DeadlineOf(context, arrival_)),
      request_id_(RequestIdOf(context)),
      trace_id_(TraceIdOf(MetadataOf(context, kTraceParentKey))) {
  metrics_.RequestStarted(method_);
  context_.AddInitialMetadata(kRequestIdKey, request_id_);
}

void Call::AddServerTiming(absl::string_view stage, absl::Duration duration) {
  absl::StrAppendFormat(&server_timing_, "%s%s;dur=%.3f", server_timing_.empty() ? "" : ", ", stage,
                        absl::ToDoubleMilliseconds(duration));
}

grpc::Status Call::End(const absl::Status& status) {
  const absl::Duration duration = clock_.Now() - arrival_;
  const absl::StatusCode code = PublicCode(status.code());
  metrics_.RequestFinished(method_, code, duration);
  if (LogEnabled(LogLevel::kDebug)) {
    std::vector<LogField> fields = {{"method", MethodName(method_)},
                                    {"request_id", request_id_},
                                    {"code", StatusCodeName(code)},
                                    {"milliseconds", absl::ToDoubleMilliseconds(duration)}};
    if (!trace_id_.empty()) fields.emplace_back("trace_id", trace_id_);
    LogDebug("call", std::move(fields));
  }
  if (!server_timing_.empty()) context_.AddTrailingMetadata(kServerTimingKey, server_timing_);
  AddRetryPushback(status, context_);
  return ToGrpcStatus(status, request_id_);
}

grpc::Status Call::EndAbandoned() {
  if (clock_.Now() >= deadline_) {
    return End(absl::DeadlineExceededError("the deadline passed before the answer was ready"));
  }
  return End(absl::CancelledError("the caller cancelled"));
}

}  // namespace tome
