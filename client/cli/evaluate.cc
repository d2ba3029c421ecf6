#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "client/cli/commands.h"
#include "client/cli/evaluation_report.h"
#include "client/cli/failures.h"
#include "client/cli/input_files.h"
#include "client/cli/json.h"
#include "client/cli/ladder.h"
#include "client/cli/merge_map_picture.h"
#include "client/cli/png_file.h"
#include "client/cli/replace_file.h"
#include "client/cli/served_checkpoint.h"
#include "client/status.h"

namespace tome::client {
namespace {

// How many pictures the page shows merge maps of.
constexpr size_t kPicturesWithMaps = 4;

void ShowProgress(const std::string& what) { std::cerr << "measuring " << what << "\n"; }

Json ToJson(const Ladder& ladder) {
  Json rungs = Json::array();
  for (const Rung& rung : ladder.rungs) {
    Json object = {{"schedule", RungName(rung.schedule)},
                   {"tokens_out", rung.tokens_out},
                   {"flop_ratio", rung.flop_ratio},
                   {"images_per_second", rung.images_per_second},
                   {"latency_ms", absl::ToDoubleMilliseconds(rung.latency)},
                   {"cosine_mean", rung.fidelity.mean},
                   {"cosine_p5", rung.fidelity.p5},
                   {"cosine_centred", rung.fidelity.centred_mean},
                   {"cosine_centred_p5", rung.fidelity.centred_p5},
                   {"recall_at_1", rung.recall_at_1},
                   {"recall_at_10", rung.recall_at_10}};
    if (rung.label_accuracy.has_value()) object["label_accuracy"] = *rung.label_accuracy;
    rungs.push_back(std::move(object));
  }
  return {{"model", ladder.model.name},
          {"weights_digest", ladder.model.weights_digest},
          {"pictures", ladder.files.size()},
          {"rungs", std::move(rungs)},
          {"failed", ToJson(ladder.failed)}};
}

// Of a few pictures, evenly over the folder.
absl::StatusOr<std::vector<PictureMaps>> DrawMaps(Client& client, const GlobalOptions& global,
                                                  const Ladder& ladder) {
  std::vector<PictureMaps> maps;
  const size_t count = std::min(kPicturesWithMaps, ladder.files.size());
  for (size_t i = 0; i < count; ++i) {
    PictureMaps& picture = maps.emplace_back();
    picture.file = ladder.files[i * ladder.files.size() / count];
    const absl::StatusOr<std::string> bytes = ReadImageFile(picture.file, /*limit=*/0);
    if (!bytes.ok()) return bytes.status();
    for (const Rung& rung : ladder.rungs) {
      EmbedOptions options = OptionsOfRung(global, ladder.model, rung.schedule);
      options.output.merge_map = true;
      options.output.model_pixels = true;
      const absl::StatusOr<Embedding> embedding = client.Embed(EncodedImage{*bytes}, options);
      if (!embedding.ok()) return embedding.status();
      const absl::StatusOr<RgbImage> drawn = DrawMergeMapOf(*embedding, ladder.model.patch_size);
      if (!drawn.ok()) return drawn.status();
      absl::StatusOr<std::string> png = PngBytes(*drawn);
      if (!png.ok()) return png.status();
      picture.png_of_rung.push_back(*std::move(png));
    }
  }
  return maps;
}

absl::Status WriteReports(Client& client, const GlobalOptions& global,
                          const EvaluateCommand& command, const Ladder& ladder) {
  if (!command.csv.empty()) {
    absl::Status written = ReplaceFile(command.csv, EvaluationCsv(ladder));
    if (!written.ok()) return written;
  }
  if (command.html.empty()) return absl::OkStatus();
  const absl::StatusOr<std::vector<PictureMaps>> maps = DrawMaps(client, global, ladder);
  if (!maps.ok()) return maps.status();
  return ReplaceFile(command.html, EvaluationHtml(ladder, *maps));
}

// The ladder that a command asks for.
template <typename Command>
absl::StatusOr<Ladder> MeasureFor(Client& client, const GlobalOptions& global,
                                  const Command& command, const std::vector<Schedule>& schedules,
                                  bool labels) {
  absl::StatusOr<std::string> model = ServedName(client, global, command.model);
  if (!model.ok()) return model.status();
  return MeasureLadder(client, global,
                       {.images = command.images,
                        .model = *std::move(model),
                        .schedules = schedules,
                        .labels = labels},
                       ShowProgress);
}

// FAILED_PRECONDITION is about the weights, which every call asks for (OptionsOfRung).
ExitCode ReportMeasurementError(const GlobalOptions& global, const absl::Status& status) {
  if (!absl::IsFailedPrecondition(status)) return ReportCallError(global, status);
  return ReportCallError(
      global,
      MakeStatus(status.code(),
                 absl::StrCat("the model was replaced while it was measured: ", status.message()),
                 "", RequestIdOf(status)));
}

void Print(const GlobalOptions& global, const Ladder& ladder, const Json& json) {
  if (global.json) {
    std::cout << OneLine(json) << std::endl;
    return;
  }
  std::cout << EvaluationTable(ladder) << std::flush;
  PrintFailures(ladder.failed);
}

// Where calibrate writes to; empty where nothing says it.
std::string ProfileFile(const CalibrateCommand& command) {
  if (!command.out.empty() || !IsCheckpointDirectory(command.model)) return command.out;
  return command.model + "/profile.json";
}

// Fewer are all neighbours of each other at any r.
void WarnOfFewPictures(const Ladder& ladder) {
  if (ladder.files.size() > kNeighbours + 1) return;
  std::cerr << absl::StrCat(
      ladder.files.size(), " pictures have no more than ", kNeighbours,
      " neighbours each: recall@10 is 1 whatever r does; take a few hundred\n");
}

std::vector<Schedule> ConstantSchedules(const std::vector<uint32_t>& r) {
  std::vector<Schedule> schedules;
  schedules.reserve(r.size());
  for (const uint32_t each : r) schedules.emplace_back(ConstantSchedule{each});
  return schedules;
}

}  // namespace

ExitCode RunEvaluate(const GlobalOptions& global, const EvaluateCommand& command) {
  for (const auto& [option, file] :
       {std::pair("--csv", command.csv), std::pair("--html", command.html)}) {
    if (file.empty()) continue;
    const absl::Status writable = CheckReplaceable(option, file);
    if (!writable.ok()) return ReportUsageError(global, writable);
  }
  absl::StatusOr<std::unique_ptr<Client>> client = Connect(global);
  if (!client.ok()) return ReportUsageError(global, client.status());
  std::vector<Schedule> schedules = ConstantSchedules(command.r);
  schedules.insert(schedules.end(), command.more_schedules.begin(), command.more_schedules.end());
  const absl::StatusOr<Ladder> ladder =
      MeasureFor(**client, global, command, schedules, command.labels);
  if (!ladder.ok()) return ReportMeasurementError(global, ladder.status());
  WarnOfFewPictures(*ladder);
  // First: what was measured is not lost with what is made of it.
  Print(global, *ladder, ToJson(*ladder));
  if (absl::Status written = WriteReports(**client, global, command, *ladder); !written.ok()) {
    return ReportMeasurementError(global, written);
  }
  return ladder->failed.empty() ? kExitOk : kExitFailed;
}

ExitCode RunCalibrate(const GlobalOptions& global, const CalibrateCommand& command) {
  const std::string out = ProfileFile(command);
  if (out.empty()) {
    return ReportUsageError(
        global, absl::InvalidArgumentError("--out: needed where --model is not the directory of a "
                                           "checkpoint, such as ./vit-s16"));
  }
  const absl::Status writable = CheckReplaceable("--out", out);
  if (!writable.ok()) return ReportUsageError(global, writable);
  absl::StatusOr<std::unique_ptr<Client>> client = Connect(global);
  if (!client.ok()) return ReportUsageError(global, client.status());
  std::vector<uint32_t> ascending = command.r;
  std::ranges::sort(ascending);
  ascending.erase(std::unique(ascending.begin(), ascending.end()), ascending.end());
  const absl::StatusOr<Ladder> ladder =
      MeasureFor(**client, global, command, ConstantSchedules(ascending), /*labels=*/false);
  if (!ladder.ok()) return ReportMeasurementError(global, ladder.status());
  WarnOfFewPictures(*ladder);

  Json steps = Json::array();
  for (const Rung& rung : ladder->rungs) {
    steps.push_back({{"r", std::get<ConstantSchedule>(rung.schedule).r},
                     {"fidelity", rung.fidelity.mean},
                     {"fidelity_p5", rung.fidelity.p5},
                     {"recall_at_10", rung.recall_at_10},
                     {"flop_ratio", rung.flop_ratio}});
  }
  const Json profile = {{"weights_digest", ladder->model.weights_digest},
                        {"dtype", ladder->model.dtype},
                        {"images", ladder->files.size()},
                        {"date", absl::FormatTime("%Y-%m-%d", absl::Now(), absl::UTCTimeZone())},
                        {"steps", std::move(steps)}};
  Print(global, *ladder, profile);
  const absl::Status written = ReplaceFile(out, profile.dump(2) + "\n");
  if (!written.ok()) return ReportCallError(global, written);
  if (!global.json) {
    std::cerr << out << ": the server takes it from the model's directory\n";
  }
  return ladder->failed.empty() ? kExitOk : kExitFailed;
}

}  // namespace tome::client
