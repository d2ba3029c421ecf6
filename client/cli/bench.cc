#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "client/cli/bench_report.h"
#include "client/cli/commands.h"
#include "client/cli/input_files.h"
#include "client/cli/interrupt.h"
#include "client/cli/json.h"
#include "client/cli/replace_file.h"
#include "client/embed_stream.h"

namespace tome::client {
namespace {

// The server, which gets the pictures in turn, by an Embed call each or over one stream.
class Server final : public LoadTarget {
 public:
  Server(Client& client, std::vector<std::string> pictures, const EmbedOptions& options,
         bool stream, int window)
      : client_(client), pictures_(std::move(pictures)), options_(options) {
    if (!stream) return;
    StreamOptions of_stream;
    static_cast<EmbedOptions&>(of_stream) = options;
    of_stream.window = window;
    stream_ = client.OpenStream(of_stream);
  }

  void Send(int64_t number, std::optional<Schedule> schedule, Done done) override {
    EncodedImage picture{pictures_[static_cast<size_t>(number) % pictures_.size()]};
    if (stream_ != nullptr) {
      stream_->Embed(std::move(picture), std::move(schedule), std::move(done));
      return;
    }
    EmbedOptions options = options_;
    options.schedule = std::move(schedule);
    client_.EmbedAsync(std::move(picture), options, std::move(done));
  }

  void Cancel() override { client_.Shutdown(); }

 private:
  Client& client_;
  const std::vector<std::string> pictures_;
  const EmbedOptions options_;
  std::unique_ptr<EmbedStream> stream_;  // null: a call each
};

// All of them or none: a run without one of its pictures would measure something else.
absl::StatusOr<std::vector<std::string>> ReadPictures(const BenchCommand& command,
                                                      uint64_t file_bytes) {
  InputFiles input(command.paths, command.recursive);
  const auto refuse = [](const std::string& path, const absl::Status& status) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", status.message()));
  };
  std::vector<std::string> pictures;
  while (const std::optional<std::string> path = input.Next()) {
    absl::StatusOr<std::string> bytes = ReadImageFile(*path, file_bytes);
    if (!bytes.ok()) return refuse(*path, bytes.status());
    pictures.push_back(*std::move(bytes));
  }
  if (!input.failed().empty()) return refuse(input.failed()[0].path, input.failed()[0].status);
  return pictures;
}

absl::Status CheckDurations(const LoadOptions& load) {
  if (load.max_duration >= load.window * LoadRecord::kSteadyWindows) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--max-duration: ", absl::FormatDuration(load.max_duration), " is less than ",
      LoadRecord::kSteadyWindows, " times --window, ", absl::FormatDuration(load.window)));
}

void ShowWindow(const LoadWindow& window, int number) {
  int errors = 0;
  for (const auto& [code, count] : window.errors) errors += count;
  std::cerr << absl::StrFormat("window %d: %.2f images/s", number, window.images_per_second);
  if (window.median_latency) {
    std::cerr << absl::StrFormat(", p50 %.2f ms",
                                 absl::ToDoubleMilliseconds(*window.median_latency));
  }
  if (errors > 0) std::cerr << ", " << errors << " not embedded";
  std::cerr << "\n";
}

}  // namespace

ExitCode RunBench(const GlobalOptions& global, const BenchCommand& command) {
  if (const absl::Status status = CheckDurations(command.load); !status.ok()) {
    return ReportUsageError(global, status);
  }
  if (!command.out.empty()) {
    const absl::Status status = CheckReplaceable("--out", command.out);
    if (!status.ok()) return ReportUsageError(global, status);
  }
  absl::StatusOr<std::unique_ptr<Client>> client = Connect(global);
  if (!client.ok()) return ReportUsageError(global, client.status());
  const absl::StatusOr<ModelAndLimits> model =
      (*client)->GetModel(command.model, FirstCall(global));
  if (!model.ok()) return ReportCallError(global, model.status());
  absl::StatusOr<std::vector<std::string>> pictures =
      ReadPictures(command, model->limits.encoded_bytes);
  if (!pictures.ok()) return ReportUsageError(global, pictures.status());

  EmbedOptions embed;
  embed.timeout = global.timeout;
  embed.model = command.model;
  // What is refused is counted, not hidden behind a second attempt.
  embed.retry = RetryPolicy{.max_pushback_retries = 0, .max_unavailable_retries = 0};
  Server server(**client, *std::move(pictures), embed, command.stream,
                command.load.rate ? kMostImagesUnderWay : command.load.concurrency);
  CatchInterrupts();
  int windows = 0;
  const LoadResult result =
      RunLoad(server, LoadClock::Steady(), command.load, Interrupted,
              [&](const LoadWindow& window) { ShowWindow(window, ++windows); });

  const BenchSummary summary = Summarize(result, command.load.window);
  const Json json = ToJson(command, model->model, result, summary);
  if (global.json) {
    std::cout << OneLine(json) << "\n";
  } else {
    std::cout << ToText(command, model->model, result, summary);
  }
  if (!command.out.empty()) {
    const absl::Status written = ReplaceFile(command.out, OneLine(json) + "\n");
    if (!written.ok()) return ReportCallError(global, written);
  }
  if (result.interrupted) return kExitInterrupted;
  return summary.total.embedded > 0 ? kExitOk : kExitFailed;
}

}  // namespace tome::client
