#ifndef TOME_CLIENT_STATUS_H_
#define TOME_CLIENT_STATUS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

// What an error of the client carries beside its code and message.

namespace tome::client {

// The request field that is wrong, such as "merge.linear.inflection", if the server named one.
std::optional<std::string> FieldOf(const absl::Status& status);

// The x-request-id of the call that failed, by which the server's log names it; empty if the error
// did not come from a call.
std::string RequestIdOf(const absl::Status& status);

// "INVALID_ARGUMENT", "NOT_FOUND", ...
std::string CodeName(absl::StatusCode code);

// `code` with its message, field and request id. An empty field or id is left out.
absl::Status MakeStatus(absl::StatusCode code, absl::string_view message, absl::string_view field,
                        absl::string_view request_id);

}  // namespace tome::client

#endif  // TOME_CLIENT_STATUS_H_
