#include "client/cli/option_text.h"

#include <string>
#include <utility>
#include <variant>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
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

std::string ScheduleText(const Schedule& schedule) {
  if (const auto* constant = std::get_if<ConstantSchedule>(&schedule)) {
    return absl::StrCat("r ", constant->r);
  }
  if (const auto* linear = std::get_if<LinearSchedule>(&schedule)) {
    return absl::StrCat("linear ", linear->mean_r, ":", linear->inflection);
  }
  return absl::StrCat("per-block ", absl::StrJoin(std::get<PerBlockSchedule>(schedule).r, ","));
}

absl::StatusOr<Schedule> ParseSchedule(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits(' ', 1));
  if (parts.first == "r") {
    const absl::StatusOr<uint32_t> r = ParseR(parts.second);
    if (!r.ok()) return r.status();
    return ConstantSchedule{*r};
  }
  if (parts.first == "linear") {
    const absl::StatusOr<LinearSchedule> linear = ParseLinear(parts.second);
    if (!linear.ok()) return linear.status();
    return *linear;
  }
  if (parts.first == "per-block") {
    absl::StatusOr<std::vector<uint32_t>> r = ParseRList(parts.second);
    if (!r.ok()) return r.status();
    return PerBlockSchedule{*std::move(r)};
  }
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is no schedule such as 'r 8'"));
}

std::string ElementTypeText(ElementType type) {
  switch (type) {
    case ElementType::kFloat32:
      return "float32";
    case ElementType::kFloat16:
      return "float16";
    case ElementType::kInt8:
      return "int8";
  }
  return "";
}

absl::StatusOr<ElementType> ParseElementType(absl::string_view text) {
  for (const ElementType type :
       {ElementType::kFloat32, ElementType::kFloat16, ElementType::kInt8}) {
    if (text == ElementTypeText(type)) return type;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "' is none of float32, float16 and int8"));
}

std::string PoolingText(Pooling pooling) {
  switch (pooling) {
    case Pooling::kModel:
      return "model";
    case Pooling::kClassToken:
      return "class-token";
    case Pooling::kMean:
      return "mean";
  }
  return "";
}

absl::StatusOr<Pooling> ParsePooling(absl::string_view text) {
  for (const Pooling pooling : {Pooling::kModel, Pooling::kClassToken, Pooling::kMean}) {
    if (text == PoolingText(pooling)) return pooling;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "' is none of model, class-token and mean"));
}

}  // namespace tome::client
