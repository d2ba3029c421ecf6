#include <algorithm>
#include <chrono>
#include <cstddef>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "client/cli/commands.h"
#include "client/cli/embed_files.h"
#include "client/cli/failures.h"
#include "client/cli/input_files.h"
#include "client/cli/interrupt.h"
#include "client/cli/json.h"
#include "client/cli/output_file.h"
#include "client/cli/progress_bar.h"
#include "client/cli/run_record.h"

namespace tome::client {
namespace {

void PrintSummary(const GlobalOptions& global, const EmbedCommand& options,
                  const EmbedFilesResult& result, int left, size_t rows_there, double seconds) {
  const size_t files =
      rows_there + static_cast<size_t>(result.embedded) + result.failed.size() + left;
  if (global.json) {
    Json json = {{"embedded", result.embedded},
                 {"embedded_before", rows_there},
                 {"failed", ToJson(result.failed)},
                 {"not_embedded", left},
                 {"seconds", seconds}};
    if (!result.broken_off.ok()) json["broken_off"] = ToJson(result.broken_off);
    // Standard output holds the rows where no file does.
    (options.out.empty() ? std::cerr : std::cout) << OneLine(json) << "\n";
    return;
  }
  std::cerr << absl::StrFormat("%d of %d files embedded in %.1f s (%.1f images/s)", result.embedded,
                               files, seconds, result.embedded / seconds);
  if (rows_there > 0) std::cerr << ", " << rows_there << " before";
  if (!options.out.empty()) std::cerr << " -> " << options.out;
  std::cerr << "\n";
  PrintFailures(result.failed);
  if (!result.broken_off.ok()) {
    std::cerr << "broken off, " << left << " files not embedded: " << Describe(result.broken_off)
              << "\n";
    if (!options.out.empty()) std::cerr << "the same command with --resume goes on from here\n";
  }
}

ExitCode ExitCodeOf(const EmbedFilesResult& result) {
  if (absl::IsCancelled(result.broken_off)) return kExitInterrupted;
  if (absl::IsUnavailable(result.broken_off)) return kExitUnreachable;
  return result.broken_off.ok() && result.failed.empty() ? kExitOk : kExitFailed;
}

}  // namespace

ExitCode RunEmbed(const GlobalOptions& global, const EmbedCommand& options) {
  absl::StatusOr<std::unique_ptr<Client>> client = Connect(global);
  if (!client.ok()) return ReportUsageError(global, client.status());
  const absl::StatusOr<ModelAndLimits> model =
      (*client)->GetModel(options.model, FirstCall(global));
  if (!model.ok()) return ReportCallError(global, model.status());
  const int model_dimensions = options.output.pooling == Pooling::kMean
                                   ? model->model.token_dimensions
                                   : model->model.embedding_dimensions;
  const int columns = options.output.dimensions > 0 ? static_cast<int>(options.output.dimensions)
                                                    : model_dimensions;
  if (columns > model_dimensions) {
    return ReportUsageError(
        global, absl::InvalidArgumentError(absl::StrCat("--dimensions: ", columns, " is more than ",
                                                        model_dimensions, ", all that ",
                                                        model->model.name, " has")));
  }

  const RunRecord record = {
      .model = model->model.name,
      .weights_digest = model->model.weights_digest,
      .schedule = options.schedule ? options.schedule : model->model.default_schedule,
      .element_type = options.output.element_type,
      .normalize = options.output.normalize,
      .dimensions = columns,
      .pooling = options.output.pooling};
  absl::StatusOr<OutputFile> output =
      options.resume ? ResumeOutput(options.out, record) : CreateOutput(options.out, record);
  if (!output.ok()) return ReportUsageError(global, output.status());
  RowWriter& writer = *output->writer;
  const auto has_row = [&](const std::string& path) {
    return output->rows_there.size() > 0 && output->rows_there.Take(output->NameInRow(path));
  };
  InputFiles input(options.paths, options.recursive);
  const auto next_file = [&] {
    std::optional<std::string> file = input.Next();
    while (file.has_value() && has_row(*file)) file = input.Next();
    return file;
  };
  EmbedFilesOptions run;
  run.embed.timeout = global.timeout;
  run.embed.model = options.model;
  run.embed.schedule = options.schedule;
  run.embed.output = options.output;
  // One file holds vectors of one set of weights, even if the server's are replaced meanwhile.
  run.embed.if_weights_digest = model->model.weights_digest;
  run.concurrency = options.concurrency;
  run.file_bytes = model->limits.encoded_bytes;
  run.message_bytes = model->limits.message_bytes;
  VisitInputFiles(options.paths, options.recursive, [&](const std::string& path) {
    if (!has_row(path)) ++run.files;
  });
  output->rows_there.PutBack();

  CatchInterrupts();
  const auto start = std::chrono::steady_clock::now();
  EmbedFilesResult result;
  {
    ProgressBar bar;
    result = EmbedFiles(**client, next_file, run, writer, Interrupted,
                        [&](const Progress& progress) { bar.Update(progress); });
  }
  const absl::Status finished = writer.Finish();
  if (result.broken_off.ok()) result.broken_off = finished;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  const int tried = result.embedded + static_cast<int>(result.failed.size());
  // A folder may have grown or shrunk since its files were counted.
  const int left = result.broken_off.ok() ? 0 : std::max(0, run.files - tried);
  result.failed.insert(result.failed.end(), input.failed().begin(), input.failed().end());
  PrintSummary(global, options, result, left, output->rows_there.size(), elapsed.count());
  return ExitCodeOf(result);
}

}  // namespace tome::client
