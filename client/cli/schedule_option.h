#ifndef TOME_CLIENT_CLI_SCHEDULE_OPTION_H_
#define TOME_CLIENT_CLI_SCHEDULE_OPTION_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "client/embedding.h"

// The values of --r, --linear and --per-block. INVALID_ARGUMENT tells what was expected.

namespace tome::client {

// "8".
absl::StatusOr<uint32_t> ParseR(absl::string_view text);
// "0,4,8": at least one.
absl::StatusOr<std::vector<uint32_t>> ParseRList(absl::string_view text);
// "16:-1": mean r and inflection.
absl::StatusOr<LinearSchedule> ParseLinear(absl::string_view text);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_SCHEDULE_OPTION_H_
