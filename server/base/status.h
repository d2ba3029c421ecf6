#ifndef TOME_SERVER_BASE_STATUS_H_
#define TOME_SERVER_BASE_STATUS_H_

#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

// Errors that tell the caller what to change. A status carries, beside code and message, the name
// of the field that is wrong (rpc/ turns it into a BadRequest) or the time after which a retry may
// succeed (RetryInfo and the pushback trailer).

namespace tome {

// INVALID_ARGUMENT "<field>: <problem>". `field` is the path of the proto field, such as
// "merge.linear.inflection"; `problem` names the value and the limit.
absl::Status InvalidField(absl::string_view field, absl::string_view problem);

// The same status with `parent` + "." before its field, in message and payload alike. A status
// without a field gets `parent` as its field if it is INVALID_ARGUMENT and is returned unchanged
// otherwise.
absl::Status WithFieldParent(const absl::Status& status, absl::string_view parent);

// The field that InvalidField named, if any.
std::optional<std::string> FieldOf(const absl::Status& status);

// RESOURCE_EXHAUSTED with a hint: the caller may try again after `retry_after`.
absl::Status Exhausted(absl::string_view message, absl::Duration retry_after);

// The hint that Exhausted gave, if any.
std::optional<absl::Duration> RetryAfterOf(const absl::Status& status);

}  // namespace tome

// Returns the status of `expression` from the calling function unless it is OK.
#define TOME_RETURN_IF_ERROR(expression)                                \
  do {                                                                  \
    if (absl::Status tome_status_ = (expression); !tome_status_.ok()) { \
      return tome_status_;                                              \
    }                                                                   \
  } while (false)

// Declares or assigns `target` from the StatusOr `expression`, or returns its status.
#define TOME_ASSIGN_OR_RETURN(target, expression) \
  TOME_ASSIGN_OR_RETURN_IMPL_(TOME_CONCAT_(tome_status_or_, __LINE__), target, expression)
#define TOME_ASSIGN_OR_RETURN_IMPL_(status_or, target, expression) \
  auto status_or = (expression);                                   \
  if (!status_or.ok()) return std::move(status_or).status();       \
  target = *std::move(status_or)
#define TOME_CONCAT_(a, b) TOME_CONCAT_IMPL_(a, b)
#define TOME_CONCAT_IMPL_(a, b) a##b

#endif  // TOME_SERVER_BASE_STATUS_H_
