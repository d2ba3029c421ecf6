#include "client/cli/schedule_option.h"

#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tome::client {

absl::StatusOr<uint32_t> ParseR(absl::string_view text) {
  uint32_t r = 0;
  if (!absl::SimpleAtoi(text, &r)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is not a number of token pairs, such as 8"));
  }
  return r;
}

absl::StatusOr<std::vector<uint32_t>> ParseRList(absl::string_view text) {
  std::vector<uint32_t> list;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    uint32_t r = 0;
    if (!absl::SimpleAtoi(part, &r)) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", text, "' is not a list of numbers such as 0,4,8"));
    }
    list.push_back(r);
  }
  return list;
}

absl::StatusOr<LinearSchedule> ParseLinear(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits(':', 1));
  LinearSchedule linear;
  if (!absl::SimpleAtoi(parts.first, &linear.mean_r) ||
      !absl::SimpleAtod(parts.second, &linear.inflection)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is not MEAN_R:INFLECTION, such as 16:-1"));
  }
  // Written so that a NaN fails.
  if (!(linear.inflection >= -1.0 && linear.inflection <= 1.0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the inflection ", parts.second, " is outside [-1, 1]"));
  }
  return linear;
}

}  // namespace tome::client
