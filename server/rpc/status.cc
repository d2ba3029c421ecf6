#include "server/rpc/status.h"

#include <google/protobuf/any.pb.h>
#include <google/rpc/error_details.pb.h>

#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"

#include "server/base/log.h"
#include "server/base/status.h"
#include "server/rpc/duration.h"

namespace tome {
namespace {

// gRPC's peers take 8 KiB of metadata by default. The text goes in three times, percent-encoded
// (up to three bytes for one) and twice in base64.
constexpr size_t kLongestText = 1024;

std::string Shortened(absl::string_view text) {
  if (text.size() <= kLongestText) return {text.data(), text.size()};
  size_t end = kLongestText;
  // Not inside a UTF-8 sequence: its later bytes are 10xxxxxx.
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return absl::StrCat(text.substr(0, end), "...");
}

}  // namespace

absl::StatusCode PublicCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kUnauthenticated:
      return code;
    default:
      return absl::StatusCode::kInternal;
  }
}

google::rpc::Status ToRichStatus(const absl::Status& status, absl::string_view request_id) {
  const absl::StatusCode code = PublicCode(status.code());
  std::string text;
  if (code == absl::StatusCode::kInternal) {
    text = absl::StrCat("internal error, request id ", request_id);
    LogError("internal error", {{"request_id", request_id}, {"status", status.ToString()}});
  } else {
    text = Shortened(status.message());
  }

  google::rpc::Status rich;
  rich.set_code(static_cast<int>(code));
  rich.set_message(text);
  google::rpc::RequestInfo request;
  request.set_request_id(request_id.data(), request_id.size());
  rich.add_details()->PackFrom(request);
  if (const std::optional<std::string> field = FieldOf(status); field.has_value()) {
    google::rpc::BadRequest bad_request;
    google::rpc::BadRequest::FieldViolation* violation = bad_request.add_field_violations();
    violation->set_field(*field);
    violation->set_description(text);
    rich.add_details()->PackFrom(bad_request);
  }
  if (const std::optional<absl::Duration> retry = RetryAfterOf(status); retry.has_value()) {
    google::rpc::RetryInfo retry_info;
    *retry_info.mutable_retry_delay() = ToProtoDuration(*retry);
    rich.add_details()->PackFrom(retry_info);
  }
  return rich;
}

grpc::Status ToGrpcStatus(const absl::Status& status, absl::string_view request_id) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status rich = ToRichStatus(status, request_id);
  return grpc::Status(static_cast<grpc::StatusCode>(rich.code()), rich.message(),
                      rich.SerializeAsString());
}

void AddRetryPushback(const absl::Status& status, grpc::ServerContextBase& context) {
  const std::optional<absl::Duration> retry = RetryAfterOf(status);
  if (!retry.has_value()) return;
  // Rounded up: a hint of 0 ms would ask for the retry at once.
  const int64_t milliseconds =
      std::max<int64_t>(1, absl::ToInt64Milliseconds(absl::Ceil(*retry, absl::Milliseconds(1))));
  context.AddTrailingMetadata("grpc-retry-pushback-ms", absl::StrCat(milliseconds));
}

}  // namespace tome
