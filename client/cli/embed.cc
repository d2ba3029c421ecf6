#include <chrono>
#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "client/cli/commands.h"
#include "client/cli/embed_files.h"
#include "client/cli/failures.h"
#include "client/cli/input_files.h"
#include "client/cli/interrupt.h"
#include "client/cli/json.h"
#include "client/cli/jsonl_writer.h"
#include "client/cli/npy_writer.h"
#include "client/cli/progress_bar.h"
#include "client/cli/schedule_option.h"

namespace tome::client {
namespace {

constexpr char kExamples[] = R"(
Without --out the rows go to standard output, as to a .jsonl file.

  .npy    float32 [rows, dimensions]; row i is of the picture in line i of FILE.npy.paths.txt
  .jsonl  an object a line: path, merged_per_block, tokens_in, tokens_out, gflops, times, vector

Rows are in the order of the files. A file that fails has no row; it is listed at the end, and the
exit code is 1. Ctrl-C writes what is there and ends; pressed again it kills.

Examples:
  tome embed cat.jpg                                   one vector, the server's default r
  tome embed photos --recursive --r 8 --out photos.npy
  tome embed photos --linear 16:-1 --out photos.jsonl  many merges early, none at the end
  tome embed photos --r 13 --dtype int8 --dimensions 128 --out small.npy

Options of every command, such as --server and --timeout: tome --help)";

struct Options {
  std::vector<std::string> paths;
  bool recursive = false;
  std::optional<Schedule> schedule;
  std::string model;
  OutputSpec output;
  bool no_normalize = false;
  std::string out;
  int concurrency = 8;
};

absl::StatusOr<std::unique_ptr<RowWriter>> OpenWriter(const std::string& out, int columns) {
  if (out.empty()) return std::make_unique<JsonlWriter>("standard output", std::cout);
  if (absl::EndsWith(out, ".npy")) return NpyWriter::Create(out, columns);
  return JsonlWriter::Create(out);
}

void PrintSummary(const GlobalOptions& global, const Options& options,
                  const EmbedFilesResult& result, size_t files, double seconds) {
  const size_t left = files - static_cast<size_t>(result.embedded) - result.failed.size();
  if (global.json) {
    Json json = {{"embedded", result.embedded},
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
  if (!options.out.empty()) std::cerr << " -> " << options.out;
  std::cerr << "\n";
  PrintFailures(result.failed);
  if (!result.broken_off.ok()) {
    std::cerr << "broken off, " << left << " files not embedded: " << Describe(result.broken_off)
              << "\n";
  }
}

ExitCode ExitCodeOf(const EmbedFilesResult& result) {
  if (absl::IsCancelled(result.broken_off)) return kExitInterrupted;
  if (absl::IsUnavailable(result.broken_off)) return kExitUnreachable;
  return result.broken_off.ok() && result.failed.empty() ? kExitOk : kExitFailed;
}

ExitCode RunEmbed(const GlobalOptions& global, const Options& options) {
  absl::StatusOr<std::unique_ptr<Client>> client = Connect(global);
  if (!client.ok()) return ReportUsageError(global, client.status());
  const absl::StatusOr<ModelAndLimits> model =
      (*client)->GetModel(options.model, FirstCall(global));
  if (!model.ok()) return ReportCallError(global, model.status());
  const int model_dimensions = model->model.embedding_dimensions;
  const int columns = options.output.dimensions > 0 ? static_cast<int>(options.output.dimensions)
                                                    : model_dimensions;
  if (columns > model_dimensions) {
    return ReportUsageError(
        global, absl::InvalidArgumentError(absl::StrCat("--dimensions: ", columns, " is more than ",
                                                        model_dimensions, ", all that ",
                                                        model->model.name, " has")));
  }

  InputFiles input = FindInputFiles(options.paths, options.recursive);
  absl::StatusOr<std::unique_ptr<RowWriter>> writer = OpenWriter(options.out, columns);
  if (!writer.ok()) return ReportUsageError(global, writer.status());
  EmbedFilesOptions run;
  run.embed.timeout = global.timeout;
  run.embed.model = options.model;
  run.embed.schedule = options.schedule;
  run.embed.output = options.output;
  // One file holds vectors of one set of weights, even if the server's are replaced meanwhile.
  run.embed.if_weights_digest = model->model.weights_digest;
  run.concurrency = options.concurrency;
  run.file_bytes = model->limits.encoded_bytes;

  CatchInterrupts();
  const auto start = std::chrono::steady_clock::now();
  EmbedFilesResult result;
  {
    ProgressBar bar;
    result = EmbedFiles(**client, input.files, run, **writer, Interrupted,
                        [&](const Progress& progress) { bar.Update(progress); });
  }
  const absl::Status finished = (*writer)->Finish();
  if (result.broken_off.ok()) result.broken_off = finished;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  const size_t files = input.files.size() + input.failed.size();
  result.failed.insert(result.failed.end(), input.failed.begin(), input.failed.end());
  PrintSummary(global, options, result, files, elapsed.count());
  return ExitCodeOf(result);
}

std::string CheckOutName(const std::string& name) {
  if (absl::EndsWith(name, ".npy") || absl::EndsWith(name, ".jsonl")) return "";
  return absl::StrCat("'", name, "' ends neither in .npy nor in .jsonl");
}

ElementType ParseDtype(const std::string& name) {
  if (name == "float32") return ElementType::kFloat32;
  if (name == "float16") return ElementType::kFloat16;
  if (name == "int8") return ElementType::kInt8;
  throw CLI::ValidationError("--dtype",
                             absl::StrCat("'", name, "' is none of float32, float16 and int8"));
}

// An option whose text `parse` turns into a schedule, or tells why not.
template <typename Parse>
CLI::Option* AddSchedule(CLI::App& app, const std::string& name, Options& options, Parse parse,
                         const std::string& help) {
  return app.add_option_function<std::string>(
      name,
      [&options, name, parse](const std::string& text) {
        absl::StatusOr<Schedule> schedule = parse(text);
        if (!schedule.ok()) {
          throw CLI::ValidationError(name, std::string(schedule.status().message()));
        }
        options.schedule = *std::move(schedule);
      },
      help);
}

}  // namespace

void AddEmbedCommand(CLI::App& app, const GlobalOptions& global, ExitCode& exit_code) {
  CLI::App& command = *app.add_subcommand("embed", "Embed pictures: files, or folders of them");
  const auto shared = std::make_shared<Options>();
  Options& options = *shared;
  command.footer(kExamples);
  command
      .add_option(
          "PATH", options.paths,
          "JPEG, PNG or WebP files; folders: their .jpg, .jpeg, .png and .webp files, sorted")
      ->required();
  command.add_flag("--recursive", options.recursive, "Also the subfolders of folders");
  const auto constant = [](absl::string_view text) -> absl::StatusOr<Schedule> {
    absl::StatusOr<uint32_t> r = ParseR(text);
    if (!r.ok()) return r.status();
    return ConstantSchedule{*r};
  };
  const auto linear = [](absl::string_view text) -> absl::StatusOr<Schedule> {
    absl::StatusOr<LinearSchedule> schedule = ParseLinear(text);
    if (!schedule.ok()) return schedule.status();
    return *schedule;
  };
  const auto per_block = [](absl::string_view text) -> absl::StatusOr<Schedule> {
    absl::StatusOr<std::vector<uint32_t>> r = ParseRList(text);
    if (!r.ok()) return r.status();
    return PerBlockSchedule{*std::move(r)};
  };
  CLI::Option* r = AddSchedule(command, "--r", options, constant,
                               "Token pairs merged in each block: 0 is exact, more is faster");
  CLI::Option* l =
      AddSchedule(command, "--linear", options, linear,
                  "MEAN_R:INFLECTION, such as 16:-1: falls from 32 to 0 over the blocks");
  CLI::Option* b = AddSchedule(command, "--per-block", options, per_block,
                               "R,R,...: one a block from the first on, then none");
  r->type_name("R")->excludes(l)->excludes(b);
  l->type_name("R:F")->excludes(b);
  b->type_name("LIST");
  command.add_option("--model", options.model, "Needed where the server holds several")
      ->type_name("NAME");
  command.add_option("--out", options.out, "FILE.npy or FILE.jsonl, replaced if it is there")
      ->type_name("FILE")
      ->check(CheckOutName);
  command.add_option("--concurrency", options.concurrency, "Pictures on their way at once")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command
      .add_option_function<std::string>(
          "--dtype",
          [&options](const std::string& name) { options.output.element_type = ParseDtype(name); },
          "Of the vectors on the wire: float32, float16 or int8")
      ->type_name("TYPE")
      ->default_str("float32");
  command
      .add_option("--dimensions", options.output.dimensions,
                  "Keep the first N dimensions; without it all")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  command.add_flag("--no-normalize", options.no_normalize,
                   "Vectors as the model gives them, instead of length 1");
  command.callback([&global, &exit_code, shared] {
    shared->output.normalize = !shared->no_normalize;
    exit_code = RunEmbed(global, *shared);
  });
}

}  // namespace tome::client
