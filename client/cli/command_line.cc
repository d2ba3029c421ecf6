#include "client/cli/command_line.h"

#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <CLI/CLI.hpp>

#include "client/cli/commands.h"
#include "client/cli/completion.h"
#include "client/cli/help.h"
#include "client/cli/option_text.h"
#include "client/client.h"

// The only file of the command line that includes CLI11, which takes long to compile.

namespace tome::client {
namespace {

constexpr char kFile[] = "FILE";

// An option whose text `parse` turns into a value, or tells why not.
template <typename Parse, typename Set>
CLI::Option* AddParsed(CLI::App& app, const std::string& name, Parse parse, Set set,
                       const std::string& help) {
  return app.add_option_function<std::string>(
      name,
      [name, parse, set](const std::string& text) {
        auto value = parse(text);
        if (!value.ok()) throw CLI::ValidationError(name, std::string(value.status().message()));
        set(*std::move(value));
      },
      help);
}

// The same, as often as it is given.
template <typename Parse, typename Add>
CLI::Option* AddEachParsed(CLI::App& app, const std::string& name, Parse parse, Add add,
                           const std::string& help) {
  return app.add_option_function<std::vector<std::string>>(
      name,
      [name, parse, add](const std::vector<std::string>& texts) {
        for (const std::string& text : texts) {
          auto value = parse(text);
          if (!value.ok()) throw CLI::ValidationError(name, std::string(value.status().message()));
          add(*std::move(value));
        }
      },
      help);
}

absl::StatusOr<absl::Duration> ParseDuration(const std::string& text) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) || duration <= absl::ZeroDuration() ||
      duration == absl::InfiniteDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is not a duration such as 30s or 500ms"));
  }
  return duration;
}

void AddGlobalOptions(CLI::App& app, GlobalOptions& options) {
  app.add_option("--server", options.server, "HOST:PORT; several addresses of one name take turns")
      ->type_name("HOST:PORT")
      ->envname("TOME_SERVER")
      ->capture_default_str();
  app.add_flag("--tls", options.tls, "Encrypt, and trust the system's certificate authorities");
  app.add_option("--tls-ca", options.tls_ca, "Encrypt, and trust the authorities in this PEM file")
      ->type_name(kFile);
  CLI::Option* certificate =
      app.add_option("--tls-certificate", options.tls_certificate, "This client's own, PEM")
          ->type_name(kFile);
  CLI::Option* key =
      app.add_option("--tls-key", options.tls_key, "Of that certificate, PEM")->type_name(kFile);
  certificate->needs(key);
  key->needs(certificate);
  app.add_option("--token-file", options.token_file, "Holds the bearer token that each call sends")
      ->type_name(kFile);
  AddParsed(
      app, "--timeout", ParseDuration,
      [&options](absl::Duration timeout) { options.timeout = timeout; },
      "Of each call, its retries included; of each picture of embed")
      ->type_name("DURATION")
      ->default_str("30s");
  app.add_flag("--json", options.json, "Print JSON, for a program to read");
}

// What every command that reads pictures takes.
template <typename Command>
void AddPictures(CLI::App& app, Command& command) {
  app.add_option(
         "PATH", command.paths,
         "JPEG, PNG or WebP files; folders: their .jpg, .jpeg, .png and .webp files, sorted")
      ->required();
  app.add_flag("--recursive", command.recursive, "Also the subfolders of folders");
  app.add_option("--model", command.model, "Needed where the server holds several")
      ->type_name("NAME");
}

void AddScheduleOptions(CLI::App& app, std::optional<Schedule>& schedule) {
  CLI::Option* r = AddParsed(
      app, "--r", ParseR, [&schedule](uint32_t value) { schedule = ConstantSchedule{value}; },
      "Token pairs merged in each block: 0 is exact, more is faster");
  CLI::Option* linear = AddParsed(
      app, "--linear", ParseLinear, [&schedule](const LinearSchedule& value) { schedule = value; },
      "MEAN_R:INFLECTION, such as 16:-1: falls from 32 to 0 over the blocks");
  CLI::Option* per_block = AddParsed(
      app, "--per-block", ParseRList,
      [&schedule](std::vector<uint32_t> value) { schedule = PerBlockSchedule{std::move(value)}; },
      "R,R,...: one a block from the first on, then none");
  r->type_name("R")->excludes(linear)->excludes(per_block);
  linear->type_name("R:F")->excludes(per_block);
  per_block->type_name("LIST");
}

std::string CheckOutName(const std::string& name) {
  if (absl::EndsWith(name, ".npy") || absl::EndsWith(name, ".jsonl")) return "";
  return absl::StrCat("'", name, "' ends neither in .npy nor in .jsonl");
}

void AddEmbed(CLI::App& app, EmbedCommand& command) {
  app.footer(kEmbedHelp);
  AddPictures(app, command);
  AddScheduleOptions(app, command.schedule);
  CLI::Option* out =
      app.add_option("--out", command.out, "FILE.npy or FILE.jsonl, replaced if it is there")
          ->type_name(kFile)
          ->check(CheckOutName);
  app.add_flag("--resume", command.resume, "Go on with FILE if it is there")->needs(out);
  app.add_option("--concurrency", command.concurrency, "Pictures on their way at once")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  AddParsed(
      app, "--dtype", ParseElementType,
      [&command](ElementType type) { command.output.element_type = type; },
      "Of the vectors on the wire: float32, float16 or int8")
      ->type_name("TYPE")
      ->default_str("float32");
  app.add_option("--dimensions", command.output.dimensions,
                 "Keep the first N dimensions; without it all")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  AddParsed(
      app, "--pooling", ParsePooling,
      [&command](Pooling pooling) { command.output.pooling = pooling; },
      "What becomes the vector: the model's own choice (model), class-token, or mean of the "
      "patches")
      ->type_name("POOLING")
      ->default_str("model");
  app.add_flag(
      "--no-normalize", [&command](int64_t) { command.output.normalize = false; },
      "Vectors as the model gives them, instead of length 1");
}

std::string CheckPictureName(const std::string& name) {
  return absl::EndsWith(name, ".png") ? "" : absl::StrCat("'", name, "' does not end in .png");
}

void AddMap(CLI::App& app, MapCommand& command) {
  app.footer(kMapHelp);
  app.add_option("IMAGE", command.image, "A JPEG, PNG or WebP file")->required();
  app.add_option("--model", command.model, "Needed where the server holds several")
      ->type_name("NAME");
  AddScheduleOptions(app, command.schedule);
  app.add_option("--block", command.block, "As it is after the N-th block; without it the last")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  app.add_option("--out", command.out, "FILE.png, replaced if it is there")
      ->type_name(kFile)
      ->required()
      ->check(CheckPictureName);
}

// What commands that measure a folder take.
template <typename Command>
void AddMeasuredFolder(CLI::App& app, Command& command, const std::string& default_r) {
  app.add_option("--images", command.images, "Folder of pictures, its subfolders included")
      ->type_name("FOLDER")
      ->required()
      ->check(CLI::ExistingDirectory);
  app.add_option("--model", command.model,
                 "Needed where the server holds several; with a slash, the directory of the "
                 "checkpoint that it has loaded")
      ->type_name("NAME|DIR");
  AddParsed(
      app, "--r", ParseRList, [&command](const std::vector<uint32_t>& r) { command.r = r; },
      "R,R,...: token pairs merged in each block")
      ->type_name("LIST")
      ->default_str(default_r);
}

void AddEvaluate(CLI::App& app, EvaluateCommand& command) {
  app.footer(kEvaluateHelp);
  AddMeasuredFolder(app, command, "0,4,8,13,16");
  AddEachParsed(
      app, "--linear", ParseLinear,
      [&command](const LinearSchedule& value) { command.more_schedules.emplace_back(value); },
      "MEAN_R:INFLECTION, also measured; may be repeated")
      ->type_name("R:F");
  AddEachParsed(
      app, "--per-block", ParseRList,
      [&command](std::vector<uint32_t> value) {
        command.more_schedules.emplace_back(PerBlockSchedule{std::move(value)});
      },
      "R,R,...: one a block from the first on, then none; also measured; may be repeated")
      ->type_name("LIST");
  app.add_option_function<std::string>(
         "--labels", [&command](const std::string&) { command.labels = true; },
         "folders: those in the folder are their pictures' labels")
      ->type_name("folders")
      ->check(CLI::IsMember({"folders"}));
  app.add_option("--csv", command.csv, "Also write the table to FILE")->type_name(kFile);
  app.add_option("--html", command.html, "Also write a page with plots and merge maps to FILE")
      ->type_name(kFile);
}

void AddCalibrate(CLI::App& app, CalibrateCommand& command) {
  app.footer(kCalibrateHelp);
  AddMeasuredFolder(app, command, "0,2,4,6,8,10,12,14,16");
  app.add_option("--out", command.out, "Without it profile.json in the DIR of --model")
      ->type_name(kFile);
}

void AddSearch(CLI::App& app, SearchCommand& command) {
  app.footer(kSearchHelp);
  app.add_option("QUERY", command.query, "A JPEG, PNG or WebP file")->required();
  app.add_option("--in", command.in, "FILE.npy, as tome embed writes it")
      ->type_name(kFile)
      ->required();
  app.add_option("--top", command.top, "How many to show, the most alike first")
      ->type_name("N")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
}

void AddCompare(CLI::App& app, CompareCommand& command) {
  app.footer(kCompareHelp);
  AddPictures(app, command);
  AddParsed(
      app, "--r", ParseRList, [&command](std::vector<uint32_t> r) { command.r = std::move(r); },
      "R,R,...: token pairs merged in each block")
      ->type_name("LIST")
      ->default_str("0,4,8,13,16");
  app.add_option("--repeat", command.repeat, "Embed N times at each r and show the median time")
      ->type_name("N")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
}

void AddBench(CLI::App& app, BenchCommand& command) {
  app.footer(kBenchHelp);
  AddPictures(app, command);
  LoadOptions& load = command.load;
  AddParsed(
      app, "--r", ParseRShares, [&load](std::vector<RShare> shares) { load.r = std::move(shares); },
      "R, or R:WEIGHT,R:WEIGHT,...; without it the server's default")
      ->type_name("LIST");
  CLI::Option* concurrency =
      app.add_option("--concurrency", load.concurrency, "Pictures on their way at any time")
          ->check(CLI::Range(1, 4096))
          ->capture_default_str();
  app.add_option("--rate", load.rate, "Pictures due in a second, at random times")
      ->check(CLI::Range(0.001, 1e6))
      ->excludes(concurrency);
  app.add_flag("--stream", command.stream, "One call for all of them, instead of a call each");
  const auto add_duration = [&app](const std::string& name, absl::Duration& duration,
                                   const std::string& help) {
    AddParsed(
        app, name, ParseDuration, [&duration](absl::Duration value) { duration = value; }, help)
        ->type_name("DURATION")
        ->default_str(absl::FormatDuration(duration));
  };
  add_duration("--warm-up", load.warm_up, "Before the first window");
  add_duration("--window", load.window, "Of each window");
  add_duration("--max-duration", load.max_duration, "Of all windows, alike or not");
  app.add_option("--seed", load.seed, "Of what is drawn at random")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--out", command.out, "A JSON file of the result, replaced if it is there")
      ->type_name(kFile);
}

std::vector<OptionWords> WordsOf(const CLI::App& app, bool with_version) {
  std::vector<OptionWords> words;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional() || (!with_version && option->check_lname("help"))) continue;
    const ValueKind value = option->get_items_expected_max() == 0 ? ValueKind::kNone
                            : option->get_type_name() == kFile    ? ValueKind::kFile
                                                                  : ValueKind::kOther;
    words.push_back({"--" + option->get_lnames().front(), option->get_description(), value});
  }
  return words;
}

ProgramWords WordsOf(const CLI::App& app) {
  ProgramWords program;
  program.options = WordsOf(app, true);
  for (const CLI::App* command : app.get_subcommands({})) {
    program.commands.push_back(
        {command->get_name(), command->get_description(), WordsOf(*command, false)});
  }
  return program;
}

void AddCompletion(CLI::App& app, CLI::App& command, ExitCode& exit_code) {
  command.footer(kCompletionHelp);
  const auto shell = std::make_shared<std::string>();
  command.add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command.callback([&app, &exit_code, shell] {
    const ProgramWords program = WordsOf(app);
    std::cout << (*shell == "bash"  ? BashCompletion(program)
                  : *shell == "zsh" ? ZshCompletion(program)
                                    : FishCompletion(program));
    exit_code = kExitOk;
  });
}

}  // namespace

int RunCommandLine(int argc, char** argv) {
  CLI::App app("Image embeddings from vision transformers with Token Merging.", "tome");
  app.footer(kProgramHelp);
  app.set_version_flag("--version", "tome " TOME_VERSION);
  app.require_subcommand(1);
  // Global options are understood behind the command, too.
  app.fallthrough();
  GlobalOptions global;
  AddGlobalOptions(app, global);

  ExitCode exit_code = kExitOk;
  const auto add = [&](const std::string& name, const std::string& description, auto run) {
    CLI::App& command = *app.add_subcommand(name, description);
    command.callback([&exit_code, run] { exit_code = run(); });
    return &command;
  };
  EmbedCommand embed;
  AddEmbed(*add("embed", "Embed pictures: files, or folders of them",
                [&] { return RunEmbed(global, embed); }),
           embed);
  SearchCommand search;
  AddSearch(*add("search", "Find the pictures of an embedded folder that are most like one",
                 [&] { return RunSearch(global, search); }),
            search);
  CompareCommand compare;
  AddCompare(*add("compare",
                  "Show what each r costs and saves: tokens, time, and cosine to the exact "
                  "embedding",
                  [&] { return RunCompare(global, compare); }),
             compare);
  EvaluateCommand evaluate;
  AddEvaluate(*add("evaluate", "Show what r costs and saves on a folder's pictures",
                   [&] { return RunEvaluate(global, evaluate); }),
              evaluate);
  CalibrateCommand calibrate;
  AddCalibrate(*add("calibrate", "Measure what r costs a model, for the server to tell",
                    [&] { return RunCalibrate(global, calibrate); }),
               calibrate);
  MapCommand map;
  AddMap(*add("map", "Draw which patches of a picture became one token",
              [&] { return RunMap(global, map); }),
         map);
  BenchCommand bench;
  AddBench(*add("bench", "Put the server under load, and show its throughput and latencies",
                [&] { return RunBench(global, bench); }),
           bench);
  std::string model;
  CLI::App& models = *add("models", "List the models that the server holds",
                          [&] { return RunModels(global, model); });
  models.footer(kModelsHelp);
  models.add_option("NAME", model, "Show all facts of this model, and the limits of a call");
  std::string service = kEmbeddingServiceName;
  CLI::App& health = *add("health", "Ask whether the server is serving",
                          [&] { return RunHealth(global, service); });
  health.footer(kHealthHelp);
  health.add_option("--service", service, "Its name in the health service")
      ->type_name("NAME")
      ->capture_default_str();
  AddCompletion(app, *app.add_subcommand("completion", "Print a script by which a shell completes"),
                exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Zero is --help and --version.
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  return exit_code;
}

}  // namespace tome::client
