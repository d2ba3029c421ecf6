#include "server/base/status.h"

#include <cstdint>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace tome {
namespace {

constexpr absl::string_view kFieldPayload = "tome/field";
constexpr absl::string_view kRetryPayload = "tome/retry-after-ns";

absl::Status WithField(absl::string_view field, absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kFieldPayload, absl::Cord(field));
  return status;
}

}  // namespace

absl::Status InvalidField(absl::string_view field, absl::string_view problem) {
  return WithField(field, absl::StrCat(field, ": ", problem));
}

absl::Status WithFieldParent(const absl::Status& status, absl::string_view parent) {
  if (!absl::IsInvalidArgument(status)) return status;
  const std::optional<std::string> field = FieldOf(status);
  if (!field.has_value()) return InvalidField(parent, status.message());
  return WithField(absl::StrCat(parent, ".", *field), absl::StrCat(parent, ".", status.message()));
}

std::optional<std::string> FieldOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kFieldPayload);
  if (!payload.has_value()) return std::nullopt;
  return std::string(*payload);
}

absl::Status Exhausted(absl::string_view message, absl::Duration retry_after) {
  absl::Status status = absl::ResourceExhaustedError(message);
  status.SetPayload(kRetryPayload, absl::Cord(absl::StrCat(absl::ToInt64Nanoseconds(retry_after))));
  return status;
}

std::optional<absl::Duration> RetryAfterOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kRetryPayload);
  int64_t nanoseconds = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &nanoseconds)) {
    return std::nullopt;
  }
  return absl::Nanoseconds(nanoseconds);
}

}  // namespace tome
