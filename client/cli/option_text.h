#ifndef TOME_CLIENT_CLI_OPTION_TEXT_H_
#define TOME_CLIENT_CLI_OPTION_TEXT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "client/embedding.h"

// What options and records say in words: schedules, the vectors' type on the wire, their pooling.
// INVALID_ARGUMENT tells what was expected.

namespace tome::client {

// "8".
absl::StatusOr<uint32_t> ParseR(absl::string_view text);
// "0,4,8": at least one.
absl::StatusOr<std::vector<uint32_t>> ParseRList(absl::string_view text);
// "16:-1": mean r and inflection.
absl::StatusOr<LinearSchedule> ParseLinear(absl::string_view text);

// "r 8", "linear 16:-1" or "per-block 4,0,7", and back.
std::string ScheduleText(const Schedule& schedule);
absl::StatusOr<Schedule> ParseSchedule(absl::string_view text);

// "float32", "float16" or "int8", and back.
std::string ElementTypeText(ElementType type);
absl::StatusOr<ElementType> ParseElementType(absl::string_view text);

// "model", "class-token" or "mean", and back.
std::string PoolingText(Pooling pooling);
absl::StatusOr<Pooling> ParsePooling(absl::string_view text);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_OPTION_TEXT_H_
