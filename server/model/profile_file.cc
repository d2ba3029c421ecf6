#include "server/model/profile_file.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"

#include "server/base/status.h"
#include "server/merge/merge_schedule.h"
#include "server/model/json_fields.h"

namespace tome {
namespace {

constexpr int kMaxImages = 1 << 30;

absl::StatusOr<double> Number(const Json& step, absl::string_view key, const std::string& prefix,
                              double lowest, double highest) {
  const std::string name = absl::StrCat(prefix, key);
  const Json* value = FindField(step, key);
  if (value == nullptr) return absl::InvalidArgumentError(absl::StrCat(name, ": missing"));
  const bool within =
      value->is_number() && value->get<double>() >= lowest && value->get<double>() <= highest;
  if (!within) {
    return WrongField(name, *value, absl::StrCat("a number from ", lowest, " to ", highest));
  }
  return value->get<double>();
}

absl::StatusOr<MergeProfile::Step> ReadStep(const Json& json, const std::string& prefix) {
  if (!json.is_object()) return WrongField(prefix, json, "an object");
  constexpr double kLargestRatio = 1e6;
  MergeProfile::Step step;
  const std::string fields = absl::StrCat(prefix, ".");
  TOME_ASSIGN_OR_RETURN(step.r, IntField(json, "r", fields, 0, MergeSchedule::kMaxR, -1));
  if (step.r < 0) return absl::InvalidArgumentError(absl::StrCat(fields, "r: missing"));
  TOME_ASSIGN_OR_RETURN(step.fidelity, Number(json, "fidelity", fields, -1.0, 1.0));
  TOME_ASSIGN_OR_RETURN(step.fidelity_p5, Number(json, "fidelity_p5", fields, -1.0, 1.0));
  TOME_ASSIGN_OR_RETURN(step.recall_at_10, Number(json, "recall_at_10", fields, 0.0, 1.0));
  TOME_ASSIGN_OR_RETURN(step.flop_ratio, Number(json, "flop_ratio", fields, 0.0, kLargestRatio));
  return step;
}

}  // namespace

absl::StatusOr<MergeProfile> ReadProfile(absl::string_view text,
                                         const std::string& weights_digest) {
  TOME_ASSIGN_OR_RETURN(const Json root, ParseJsonObject(text));
  TOME_ASSIGN_OR_RETURN(const std::string digest, TextField(root, "weights_digest", "", ""));
  if (digest != weights_digest) {
    return absl::InvalidArgumentError(absl::StrCat(
        "weights_digest: ", ShownValue(digest), " was calibrated, but the weights are ",
        weights_digest, "; calibrate again, or take the file away"));
  }
  MergeProfile profile;
  TOME_ASSIGN_OR_RETURN(profile.images, IntField(root, "images", "", 1, kMaxImages, 0));
  if (profile.images == 0) return absl::InvalidArgumentError("images: missing");
  TOME_ASSIGN_OR_RETURN(profile.date, TextField(root, "date", "", ""));
  absl::CivilDay day;
  if (!absl::ParseCivilTime(profile.date, &day)) {
    return WrongField("date", profile.date, "a day as YYYY-MM-DD");
  }
  const Json* steps = FindField(root, "steps");
  if (steps == nullptr || !steps->is_array() || steps->empty()) {
    return absl::InvalidArgumentError("steps: missing, or no list of steps");
  }
  for (const Json& each : *steps) {
    const std::string name = absl::StrCat("steps[", profile.steps.size(), "]");
    TOME_ASSIGN_OR_RETURN(const MergeProfile::Step step, ReadStep(each, name));
    const bool ascends = profile.steps.empty() ? step.r == 0 : step.r > profile.steps.back().r;
    if (!ascends) {
      return WrongField(absl::StrCat(name, ".r"), step.r, "0 in the first step, then ascending");
    }
    profile.steps.push_back(step);
  }
  return profile;
}

}  // namespace tome
