#include "client/cli/ladder.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "client/cli/input_files.h"
#include "client/cli/option_text.h"
#include "client/embed_stream.h"

namespace tome::client {
namespace {

// Files whose bytes are in memory at once.
constexpr size_t kFilesAtOnce = 128;
// Pictures on their way at once, as of `tome embed`.
constexpr int kConcurrency = 8;
constexpr int kCallsForLatency = 9;
constexpr size_t kFewestFiles = 2;

struct Run {
  Vectors vectors;  // a row a file
  std::vector<FailedFile> failed;
  Embedding last;
  absl::Duration took;
};

// What only this picture is the matter of.
bool IsOfThePicture(const absl::Status& status) { return absl::IsInvalidArgument(status); }

absl::StatusOr<Run> EmbedAtOnce(Client& client, const std::vector<std::string>& files,
                                const Model& model, const EmbedOptions& options,
                                uint64_t file_bytes) {
  StreamOptions of_stream;
  static_cast<EmbedOptions&>(of_stream) = options;
  of_stream.window = kConcurrency;
  const std::unique_ptr<EmbedStream> stream = client.OpenStream(of_stream);
  Run run;
  for (size_t begin = 0; begin < files.size(); begin += kFilesAtOnce) {
    const size_t end = std::min(begin + kFilesAtOnce, files.size());
    std::vector<EncodedImage> images;
    std::vector<std::string> read;
    for (size_t i = begin; i < end; ++i) {
      absl::StatusOr<std::string> bytes = ReadImageFile(files[i], file_bytes);
      if (!bytes.ok()) {
        run.failed.push_back({files[i], bytes.status()});
        continue;
      }
      images.push_back({*std::move(bytes)});
      read.push_back(files[i]);
    }
    std::vector<absl::StatusOr<Embedding>> embeddings(images.size());
    std::atomic<bool> broken_off = false;
    // Reading the files is no matter of the server.
    const absl::Time sent = absl::Now();
    for (size_t i = 0; i < images.size() && !broken_off; ++i) {
      stream->Embed(std::move(images[i]), std::nullopt, [&, i](absl::StatusOr<Embedding> answer) {
        if (!answer.ok() && !IsOfThePicture(answer.status())) broken_off = true;
        embeddings[i] = std::move(answer);
      });
    }
    stream->Finish();
    run.took += absl::Now() - sent;
    // What was not sent any more comes behind the error that ends it.
    for (size_t i = 0; i < embeddings.size(); ++i) {
      if (!embeddings[i].ok()) {
        if (!IsOfThePicture(embeddings[i].status())) return embeddings[i].status();
        run.failed.push_back({read[i], embeddings[i].status()});
        continue;
      }
      run.last = *std::move(embeddings[i]);
      if (run.last.vector.size() != static_cast<size_t>(model.embedding_dimensions)) {
        return absl::InternalError(absl::StrCat(read[i], ": the server's vector has ",
                                                run.last.vector.size(), " dimensions, ", model.name,
                                                " has ", model.embedding_dimensions));
      }
      run.vectors.push_back(run.last.vector);
    }
  }
  return run;
}

absl::StatusOr<absl::Duration> Latency(Client& client, const std::vector<std::string>& files,
                                       const EmbedOptions& options, uint64_t file_bytes) {
  std::vector<absl::Duration> times;
  for (int i = 0; i < kCallsForLatency; ++i) {
    absl::StatusOr<std::string> bytes =
        ReadImageFile(files[static_cast<size_t>(i) % files.size()], file_bytes);
    if (!bytes.ok()) return bytes.status();
    const absl::Time sent = absl::Now();
    const absl::StatusOr<Embedding> embedding =
        client.Embed(EncodedImage{*std::move(bytes)}, options);
    if (!embedding.ok()) return embedding.status();
    times.push_back(absl::Now() - sent);
  }
  std::ranges::nth_element(times, times.begin() + kCallsForLatency / 2);
  return times[kCallsForLatency / 2];
}

std::string LabelOf(const std::string& file, const std::string& folder) {
  const std::filesystem::path relative = std::filesystem::path(file).lexically_relative(folder);
  return relative.has_parent_path() ? relative.begin()->string() : "";
}

// "; a.png: ...", where a failure is a reason for what is told.
std::string FirstReason(const std::vector<FailedFile>& failed) {
  return failed.empty()
             ? ""
             : absl::StrCat("; ", failed.front().path, ": ", failed.front().status.message());
}

// Labels that are all alike would be right at any r.
absl::Status CheckLabels(const std::vector<std::string>& files, const std::string& folder,
                         const std::vector<FailedFile>& failed) {
  std::set<std::string> labels;
  for (const std::string& file : files) labels.insert(LabelOf(file, folder));
  labels.erase("");
  if (labels.size() > 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--labels: ", folder, " has fewer than two folders with pictures", FirstReason(failed)));
}

bool IsExact(const Schedule& schedule) {
  const auto* constant = std::get_if<ConstantSchedule>(&schedule);
  return constant != nullptr && constant->r == 0;
}

std::vector<std::string> WithoutFailed(const std::vector<std::string>& files,
                                       const std::vector<FailedFile>& failed) {
  std::set<std::string> paths;
  for (const FailedFile& file : failed) paths.insert(file.path);
  std::vector<std::string> rest;
  for (const std::string& file : files) {
    if (!paths.contains(file)) rest.push_back(file);
  }
  return rest;
}

}  // namespace

EmbedOptions OptionsOfRung(const GlobalOptions& global, const Model& model,
                           const Schedule& schedule) {
  EmbedOptions options;
  options.timeout = global.timeout;
  options.model = model.name;
  options.if_weights_digest = model.weights_digest;
  options.schedule = schedule;
  return options;
}

absl::StatusOr<Ladder> MeasureLadder(Client& client, const GlobalOptions& global,
                                     const LadderOptions& options,
                                     absl::FunctionRef<void(const std::string&)> progress) {
  absl::StatusOr<ModelAndLimits> model = client.GetModel(options.model, FirstCall(global));
  if (!model.ok()) return model.status();
  const uint64_t file_bytes = model->limits.encoded_bytes;
  InputFiles input({options.images}, /*recursive=*/true);
  std::vector<std::string> files;
  while (std::optional<std::string> file = input.Next()) files.push_back(*std::move(file));
  if (options.labels) {
    absl::Status enough = CheckLabels(files, options.images, input.failed());
    if (!enough.ok()) return enough;
  }
  Ladder ladder;
  ladder.model = model->model;

  const Schedule none = ConstantSchedule{0};
  const EmbedOptions exactly = OptionsOfRung(global, ladder.model, none);
  // Not measured: the first schedule must not pay for what the server does once.
  const std::vector<std::string> some(files.begin(),
                                      files.begin() + std::min(files.size(), kFilesAtOnce));
  if (const auto warm_up = EmbedAtOnce(client, some, ladder.model, exactly, file_bytes);
      !warm_up.ok()) {
    return warm_up.status();
  }
  // Files that fail here are left out of all that follows.
  progress(absl::StrCat("r = 0 on ", files.size(), " pictures"));
  absl::StatusOr<Run> exact = EmbedAtOnce(client, files, ladder.model, exactly, file_bytes);
  if (!exact.ok()) return exact.status();
  ladder.files = WithoutFailed(files, exact->failed);
  ladder.failed = input.failed();
  ladder.failed.insert(ladder.failed.end(), exact->failed.begin(), exact->failed.end());
  if (ladder.files.size() < kFewestFiles) {
    return absl::InvalidArgumentError(absl::StrCat(options.images, ": ", ladder.files.size(),
                                                   " pictures can be embedded, a comparison needs ",
                                                   kFewestFiles, FirstReason(ladder.failed)));
  }
  if (!exact->failed.empty()) {
    // Timed again, without what failed.
    exact = EmbedAtOnce(client, ladder.files, ladder.model, exactly, file_bytes);
    if (!exact.ok()) return exact.status();
    if (!exact->failed.empty()) return exact->failed.front().status;
  }
  std::vector<std::string> labels;
  if (options.labels) {
    // Those of a folder may all have failed.
    absl::Status enough = CheckLabels(ladder.files, options.images, ladder.failed);
    if (!enough.ok()) return enough;
    for (const std::string& file : ladder.files) labels.push_back(LabelOf(file, options.images));
  }
  const Neighbours exact_neighbours = NearestOthers(exact->vectors, kNeighbours);

  const auto measure = [&](const Schedule& schedule, const Run& run,
                           const Neighbours& neighbours) -> absl::StatusOr<Rung> {
    Rung rung;
    rung.schedule = schedule;
    rung.flop_ratio = run.last.gflops > 0.0 ? run.last.gflops_unmerged / run.last.gflops : 1.0;
    rung.tokens_out = run.last.tokens_out;
    rung.images_per_second =
        static_cast<double>(run.vectors.size()) / absl::ToDoubleSeconds(run.took);
    absl::StatusOr<absl::Duration> latency =
        Latency(client, ladder.files, OptionsOfRung(global, ladder.model, schedule), file_bytes);
    if (!latency.ok()) return latency.status();
    rung.latency = *latency;
    rung.fidelity = FidelityOf(exact->vectors, run.vectors);
    rung.recall_at_1 = NeighbourRecall(exact_neighbours, neighbours, 1);
    rung.recall_at_10 = NeighbourRecall(exact_neighbours, neighbours, kNeighbours);
    if (options.labels) rung.label_accuracy = NearestLabelAccuracy(neighbours, labels);
    return rung;
  };
  absl::StatusOr<Rung> first = measure(none, *exact, exact_neighbours);
  if (!first.ok()) return first.status();
  ladder.rungs.push_back(*std::move(first));
  for (const Schedule& schedule : options.schedules) {
    if (IsExact(schedule)) continue;
    progress(absl::StrCat(RungName(schedule), " on ", ladder.files.size(), " pictures"));
    const absl::StatusOr<Run> run =
        EmbedAtOnce(client, ladder.files, ladder.model,
                    OptionsOfRung(global, ladder.model, schedule), file_bytes);
    if (!run.ok()) return run.status();
    if (!run->failed.empty()) return run->failed.front().status;
    absl::StatusOr<Rung> rung = measure(schedule, *run, NearestOthers(run->vectors, kNeighbours));
    if (!rung.ok()) return rung.status();
    ladder.rungs.push_back(*std::move(rung));
  }
  return ladder;
}

std::string RungName(const Schedule& schedule) {
  const auto* constant = std::get_if<ConstantSchedule>(&schedule);
  return constant != nullptr ? absl::StrCat("r = ", constant->r) : ScheduleText(schedule);
}

}  // namespace tome::client
