#include "client/status.h"

#include "absl/strings/cord.h"

namespace tome::client {
namespace {

constexpr absl::string_view kFieldPayload = "tome/field";
constexpr absl::string_view kRequestIdPayload = "tome/request-id";

std::optional<std::string> Payload(const absl::Status& status, absl::string_view name) {
  const absl::optional<absl::Cord> payload = status.GetPayload(name);
  if (!payload.has_value()) return std::nullopt;
  return std::string(*payload);
}

}  // namespace

std::optional<std::string> FieldOf(const absl::Status& status) {
  return Payload(status, kFieldPayload);
}

std::string RequestIdOf(const absl::Status& status) {
  return Payload(status, kRequestIdPayload).value_or("");
}

std::string CodeName(absl::StatusCode code) { return absl::StatusCodeToString(code); }

absl::Status MakeStatus(absl::StatusCode code, absl::string_view message, absl::string_view field,
                        absl::string_view request_id) {
  absl::Status status(code, message);
  if (!field.empty()) status.SetPayload(kFieldPayload, absl::Cord(field));
  if (!request_id.empty()) status.SetPayload(kRequestIdPayload, absl::Cord(request_id));
  return status;
}

}  // namespace tome::client
