#include "client/cli/run_record.h"

#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

#include "client/cli/json.h"
#include "client/cli/option_text.h"
#include "client/cli/replace_file.h"

namespace tome::client {
namespace {

Json ToJson(const RunRecord& record) {
  return {{"model", record.model},
          {"weights_digest", record.weights_digest},
          {"schedule", record.schedule ? Json(ScheduleText(*record.schedule)) : Json()},
          {"dtype", ElementTypeText(record.element_type)},
          {"normalize", record.normalize},
          {"pooling", PoolingText(record.pooling)},
          {"dimensions", record.dimensions}};
}

}  // namespace

std::string RunRecordFileOf(const std::string& file) { return file + ".run.json"; }

absl::Status WriteRunRecord(const std::string& file, const RunRecord& record) {
  return ReplaceFile(RunRecordFileOf(file), OneLine(ToJson(record)) + "\n");
}

absl::StatusOr<RunRecord> ReadRunRecord(const std::string& file) {
  const std::string name = RunRecordFileOf(file);
  std::ifstream in(name);
  if (!in.is_open()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cannot read ", name, ", which tome embed writes and which tells how the rows of ", file,
        " were made"));
  }
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const absl::Status unreadable =
      absl::InvalidArgumentError(absl::StrCat(name, " is no record of a run of tome embed"));
  RunRecord record;
  try {
    const Json json = Json::parse(text);
    record.model = json.at("model");
    record.weights_digest = json.at("weights_digest");
    record.normalize = json.at("normalize");
    record.dimensions = json.at("dimensions");
    const absl::StatusOr<ElementType> type = ParseElementType(json.at("dtype").get<std::string>());
    if (!type.ok()) return unreadable;
    record.element_type = *type;
    // Older records have none.
    const absl::StatusOr<Pooling> pooling = ParsePooling(json.value("pooling", "model"));
    if (!pooling.ok()) return unreadable;
    record.pooling = *pooling;
    if (!json.at("schedule").is_null()) {
      absl::StatusOr<Schedule> schedule = ParseSchedule(json.at("schedule").get<std::string>());
      if (!schedule.ok()) return unreadable;
      record.schedule = *std::move(schedule);
    }
  } catch (const Json::exception&) {
    return unreadable;
  }
  return record;
}

absl::Status CheckSameRun(const std::string& file, const RunRecord& there, const RunRecord& now) {
  const Json was = ToJson(there);
  const Json is = ToJson(now);
  for (const auto& [key, value] : is.items()) {
    if (was.at(key) != value) {
      return absl::InvalidArgumentError(absl::StrCat("the rows in ", file, " were made with ", key,
                                                     " ", OneLine(was.at(key)), ", this run has ",
                                                     OneLine(value)));
    }
  }
  return absl::OkStatus();
}

}  // namespace tome::client
