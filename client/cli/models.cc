#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "client/cli/commands.h"
#include "client/cli/json.h"
#include "client/cli/option_text.h"
#include "client/cli/table.h"

namespace tome::client {
namespace {

Json ToJson(const Model& model) {
  Json json = {{"name", model.name},
               {"weights_digest", model.weights_digest},
               {"architecture", model.architecture},
               {"family", model.family},
               {"dtype", model.dtype},
               {"device", model.device},
               {"embedding_dimensions", model.embedding_dimensions},
               {"token_dimensions", model.token_dimensions},
               {"input_height", model.input_height},
               {"input_width", model.input_width},
               {"patch_size", model.patch_size},
               {"tokens", model.tokens},
               {"prefix_tokens", model.prefix_tokens},
               {"blocks", model.blocks},
               {"maximum_r", model.maximum_r},
               {"proportional_attention", model.proportional_attention},
               {"gflops_unmerged", model.gflops_unmerged}};
  if (model.default_schedule.has_value()) {
    json["default_schedule"] = ScheduleText(*model.default_schedule);
  }
  if (model.profile.has_value()) {
    Json steps = Json::array();
    for (const MergeProfile::Step& step : model.profile->steps) {
      steps.push_back({{"r", step.r},
                       {"fidelity", step.fidelity},
                       {"fidelity_p5", step.fidelity_p5},
                       {"recall_at_10", step.recall_at_10},
                       {"flop_ratio", step.flop_ratio}});
    }
    json["profile"] = {
        {"images", model.profile->images}, {"date", model.profile->date}, {"steps", steps}};
  }
  return json;
}

Json ToJson(const Limits& limits) {
  return {{"encoded_bytes", limits.encoded_bytes},
          {"pixels", limits.pixels},
          {"side_pixels", limits.side_pixels},
          {"images_per_call", limits.images_per_call},
          {"message_bytes", limits.message_bytes},
          {"default_timeout_ms", absl::ToDoubleMilliseconds(limits.default_timeout)},
          {"maximum_timeout_ms", absl::ToDoubleMilliseconds(limits.maximum_timeout)}};
}

std::string Size(int height, int width) { return absl::StrCat(height, " x ", width); }

std::string ToTable(const std::vector<Model>& models) {
  constexpr auto kRight = Table::Align::kRight;
  Table table({{"model"},
               {"architecture"},
               {"dtype"},
               {"device"},
               {"input"},
               {"dimensions", kRight},
               {"tokens", kRight},
               {"largest r", kRight},
               {"default"},
               {"weights"}});
  for (const Model& model : models) {
    table.AddRow({model.name, model.architecture, model.dtype, model.device,
                  Size(model.input_height, model.input_width),
                  absl::StrCat(model.embedding_dimensions), absl::StrCat(model.tokens),
                  absl::StrCat(model.maximum_r),
                  model.default_schedule ? ScheduleText(*model.default_schedule) : "-",
                  model.weights_digest.substr(0, 12)});
  }
  return table.ToString();
}

std::string ProfileText(const MergeProfile& profile) {
  constexpr auto kRight = Table::Align::kRight;
  Table table({{"r", kRight},
               {"fidelity", kRight},
               {"5th percentile", kRight},
               {"recall@10", kRight},
               {"FLOP ratio", kRight}});
  for (const MergeProfile::Step& step : profile.steps) {
    table.AddRow({absl::StrCat(step.r), absl::StrFormat("%.4f", step.fidelity),
                  absl::StrFormat("%.4f", step.fidelity_p5),
                  absl::StrFormat("%.3f", step.recall_at_10),
                  absl::StrFormat("%.2f", step.flop_ratio)});
  }
  return absl::StrCat("calibrated on ", profile.images, " images, ", profile.date, ":\n",
                      table.ToString());
}

// One fact a line.
std::string ToText(const ModelAndLimits& details) {
  const Model& model = details.model;
  const Limits& limits = details.limits;
  const std::vector<std::pair<std::string, std::string>> facts = {
      {"model", model.name},
      {"weights digest", model.weights_digest},
      {"architecture", absl::StrCat(model.architecture, " (", model.family, ")")},
      {"computes in", absl::StrCat(model.dtype, " on ", model.device)},
      {"embedding", absl::StrCat(model.embedding_dimensions, " dimensions")},
      {"input", absl::StrCat(Size(model.input_height, model.input_width), " pixels, patches of ",
                             model.patch_size)},
      {"tokens", absl::StrCat(model.tokens, " of ", model.token_dimensions, " dimensions, ",
                              model.prefix_tokens, " of them prefix tokens")},
      {"blocks", absl::StrCat(model.blocks)},
      {"cost at r = 0", absl::StrFormat("%.2f GFLOPs", model.gflops_unmerged)},
      {"largest r", absl::StrCat(model.maximum_r, " in every block; more is capped")},
      {"default", model.default_schedule ? ScheduleText(*model.default_schedule) : "unknown"},
      {"proportional attention", model.proportional_attention ? "on" : "off"},
      {"largest file", absl::StrCat(limits.encoded_bytes, " bytes")},
      {"largest picture", absl::StrCat(limits.pixels, " pixels, ", limits.side_pixels, " a side")},
      {"images a call", absl::StrCat(limits.images_per_call)},
      {"largest message", absl::StrCat(limits.message_bytes, " bytes")},
      {"time limit", absl::StrCat(absl::FormatDuration(limits.default_timeout), ", at most ",
                                  absl::FormatDuration(limits.maximum_timeout))},
  };
  std::string text;
  for (const auto& [name, value] : facts) {
    absl::StrAppend(&text, absl::StrFormat("%-24s", name), value, "\n");
  }
  if (model.profile.has_value()) absl::StrAppend(&text, "\n", ProfileText(*model.profile));
  return text;
}

}  // namespace

ExitCode RunModels(const GlobalOptions& global, const std::string& name) {
  absl::StatusOr<std::unique_ptr<Client>> client = Connect(global);
  if (!client.ok()) return ReportUsageError(global, client.status());
  if (!name.empty()) {
    const absl::StatusOr<ModelAndLimits> details = (*client)->GetModel(name, FirstCall(global));
    if (!details.ok()) return ReportCallError(global, details.status());
    if (global.json) {
      std::cout << OneLine({{"model", ToJson(details->model)}, {"limits", ToJson(details->limits)}})
                << "\n";
    } else {
      std::cout << ToText(*details);
    }
    return kExitOk;
  }
  const absl::StatusOr<std::vector<Model>> models = (*client)->ListModels(FirstCall(global));
  if (!models.ok()) return ReportCallError(global, models.status());
  if (global.json) {
    Json list = Json::array();
    for (const Model& model : *models) list.push_back(ToJson(model));
    std::cout << OneLine({{"models", std::move(list)}}) << "\n";
  } else {
    std::cout << ToTable(*models);
  }
  return kExitOk;
}

}  // namespace tome::client
