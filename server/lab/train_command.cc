#include "server/lab/train_command.h"

#include <ATen/Parallel.h>
#include <ATen/ops/tensor.h>
#include <dlfcn.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include <nlohmann/json.hpp>

#include "server/base/status.h"
#include "server/lab/atomic_file.h"
#include "server/lab/curve_file.h"
#include "server/lab/picture_folder.h"
#include "server/lab/picture_loader.h"

namespace tome {
namespace {

// More pixels than the model sees, so that a crop of a picture is not a blurred one.
constexpr double kEnlargement = 1.25;
constexpr absl::Duration kBetweenProgress = absl::Seconds(10);

std::atomic<bool> asked_to_stop = false;

absl::StatusOr<at::Device> OpenDevice(const std::string& name) {
  if (name == "cpu") return at::Device(at::kCPU);
  // Not linked, so that the program runs without 4 GB of libraries. Torch looks for it once: this
  // comes before anything asks about CUDA.
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("--device ", name, ": ", dlerror()));
  }
  return at::Device(name);
}

// Everything that decides the weights, for a run to be resumed with the same.
std::string OptionsJson(const TrainCommand& command) {
  const TrainingOptions& training = command.training;
  const Augmentation& views = training.augmentation;
  const nlohmann::ordered_json json = {
      {"--from", command.from},
      {"--images", command.images},
      {"--teacher", command.teacher},
      {"--steps", training.steps},
      {"--batch", training.batch},
      {"--warm-up", training.warm_up_steps},
      {"--optimizer", training.algorithm == Algorithm::kMuon ? "muon" : "adamw"},
      {"--learning-rate", training.learning_rate},
      {"--weight-decay", training.weight_decay},
      {"--supervised", training.supervised},
      {"--contrastive", training.contrastive},
      {"--distillation", training.distillation},
      {"--temperature", training.temperature},
      {"--r", training.r},
      {"--mixup", training.mixup},
      {"--smallest-crop", views.smallest_crop},
      {"--rotation", views.rotation},
      {"--flip", views.flip},
      {"--brightness", views.brightness},
      {"--contrast", views.contrast},
      {"--saturation", views.saturation},
      {"--hue", views.hue},
      {"--dtype", training.compute_type == at::kBFloat16 ? "bfloat16" : "float32"},
      {"--seed", training.seed},
      {"--device", command.device},
      {"--threads", command.threads}};
  return json.dump(2) + "\n";
}

absl::Status CheckSameOptions(const std::string& before, const std::string& now) {
  const auto old = nlohmann::json::parse(before, nullptr, /*allow_exceptions=*/false);
  const auto current = nlohmann::json::parse(now);
  if (!old.is_object()) return absl::InvalidArgumentError("training.json is no JSON object");
  for (const auto& [key, value] : current.items()) {
    const auto found = old.find(key);
    if (found == old.end() || *found == value) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        key, ": ", value.dump(), ", but the training that --resume goes on with was started with ",
        found->dump()));
  }
  return absl::OkStatus();
}

std::string StatePath(const TrainCommand& command) {
  return command.out + "/training_state.safetensors";
}
std::string OptionsPath(const TrainCommand& command) { return command.out + "/training.json"; }

// What an earlier run left in --out.
enum class Left { kNothing, kUnfinished, kTrained };

absl::StatusOr<Left> LookInto(const TrainCommand& command) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (fs::equivalent(command.from, command.out, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--out: ", command.out, " is what --from names, which stays as it is"));
  }
  const bool unfinished = fs::exists(StatePath(command));
  // The last thing a run does is to take its state away.
  const bool trained = !unfinished && fs::exists(OptionsPath(command)) &&
                       fs::exists(command.out + "/model.safetensors");
  if (!unfinished && !trained) return Left::kNothing;
  if (!command.resume) {
    return absl::AlreadyExistsError(
        absl::StrCat("--out: ", command.out, " holds ",
                     unfinished ? "an unfinished training; --resume goes on with it"
                                : "what a training has ended with; name another folder"));
  }
  TOME_ASSIGN_OR_RETURN(const std::string before, ReadWholeFile(OptionsPath(command)));
  TOME_RETURN_IF_ERROR(CheckSameOptions(before, OptionsJson(command)));
  return unfinished ? Left::kUnfinished : Left::kTrained;
}

// How long a step takes at each draw of r: what merging saves.
class StepTimes {
 public:
  void Add(const std::vector<int>& r, double seconds) {
    Total& total = totals_[absl::StrJoin(r, "+")];
    ++total.steps;
    total.seconds += seconds;
  }

  void Print() const {
    std::printf("%10s %10s %12s\n", "r", "steps", "ms a step");
    for (const auto& [r, total] : totals_) {
      std::printf("%10s %10lld %12.1f\n", r.c_str(), total.steps,
                  1000.0 * total.seconds / static_cast<double>(total.steps));
    }
  }

 private:
  struct Total {
    long long steps = 0;
    double seconds = 0.0;
  };
  std::map<std::string, Total> totals_;
};

class Run {
 public:
  Run(const TrainCommand& command, Training training, std::unique_ptr<PictureLoader> pictures,
      at::Device device)
      : command_(command),
        training_(std::move(training)),
        pictures_(std::move(pictures)),
        device_(device),
        curves_(command.out + "/curves.csv") {}

  // From nothing, or behind the last step of an earlier run.
  absl::Status Begin(bool goes_on) {
    TOME_RETURN_IF_ERROR(MakeDirectories(command_.out));
    if (!goes_on) return WriteFileAtOnce(OptionsPath(command_), OptionsJson(command_));
    TOME_RETURN_IF_ERROR(training_.Restore(StatePath(command_)));
    TOME_RETURN_IF_ERROR(curves_.Restore(training_.steps_done()));
    std::printf("going on behind step %lld\n", static_cast<long long>(training_.steps_done()));
    return absl::OkStatus();
  }

  absl::Status Train() {
    const TrainingOptions& options = command_.training;
    first_step_ = training_.steps_done();
    started_ = absl::Now();
    absl::Time saved = started_;
    absl::Time shown = started_;
    Request next = Ask(first_step_);
    while (training_.steps_done() < options.steps) {
      const absl::Time begun = absl::Now();
      const int64_t step = training_.steps_done();
      Request request = std::exchange(next, Request());
      TOME_ASSIGN_OR_RETURN(const at::Tensor pixels, request.pixels.get());
      // The pool decodes while this step computes.
      if (step + 1 < options.steps) next = Ask(step + 1);
      TOME_ASSIGN_OR_RETURN(const StepReport report,
                            training_.Step(pixels.to(device_), request.labels.to(device_)));
      const absl::Time now = absl::Now();
      const double seconds = absl::ToDoubleSeconds(now - begun);
      curves_.Add(step,
                  LearningRate(options.learning_rate, step, options.warm_up_steps, options.steps),
                  seconds, report);
      times_.Add(report.r, seconds);
      if (now - shown >= kBetweenProgress) {
        Show(report);
        shown = now;
      }
      if (asked_to_stop) {
        TOME_RETURN_IF_ERROR(Save());
        return absl::CancelledError(absl::StrCat("stopped behind step ", step, " of ",
                                                 options.steps, "; --resume goes on"));
      }
      if (now - saved >= absl::Seconds(command_.save_seconds)) {
        TOME_RETURN_IF_ERROR(Save());
        saved = now;
      }
    }
    TOME_RETURN_IF_ERROR(Save());
    // Nothing is left to go on with.
    std::filesystem::remove(StatePath(command_));
    times_.Print();
    return absl::OkStatus();
  }

 private:
  struct Request {
    std::future<absl::StatusOr<at::Tensor>> pixels;
    at::Tensor labels;
  };

  Request Ask(int64_t step) {
    const TrainingOptions& options = command_.training;
    const std::vector<int64_t> pictures =
        BatchOf(step, options.batch, pictures_->size(), options.seed);
    std::vector<int64_t> labels;
    labels.reserve(pictures.size());
    for (const int64_t picture : pictures) labels.push_back(pictures_->label(picture));
    return {.pixels = pictures_->Load(pictures), .labels = at::tensor(labels)};
  }

  // The state last but for the checkpoint, which follows from it: whatever is cut short, the
  // state's steps have their rows.
  absl::Status Save() const {
    TOME_RETURN_IF_ERROR(curves_.Write());
    TOME_RETURN_IF_ERROR(WriteFileAtOnce(StatePath(command_), training_.State()));
    return training_.model().Save(command_.out, command_.stored);
  }

  void Show(const StepReport& report) const {
    const int64_t done = training_.steps_done();
    const absl::Duration each = (absl::Now() - started_) / (done - first_step_);
    const absl::Duration left =
        absl::Trunc(each * (command_.training.steps - done), absl::Seconds(1));
    std::printf("step %lld of %lld, loss %.4f, r %s, %.2f s a step, %s left\n",
                static_cast<long long>(done), static_cast<long long>(command_.training.steps),
                report.loss, absl::StrJoin(report.r, " and ").c_str(), absl::ToDoubleSeconds(each),
                absl::FormatDuration(left).c_str());
    std::fflush(stdout);
  }

  const TrainCommand& command_;
  Training training_;
  std::unique_ptr<PictureLoader> pictures_;
  at::Device device_;
  CurveFile curves_;
  StepTimes times_;
  int64_t first_step_ = 0;
  absl::Time started_;
};

}  // namespace

absl::Status RunTrain(const TrainCommand& command) {
  TOME_ASSIGN_OR_RETURN(const Left left, LookInto(command));
  if (left == Left::kTrained) {
    std::printf("%s holds the trained checkpoint already\n", command.out.c_str());
    return absl::OkStatus();
  }
  at::set_num_threads(command.threads);
  TOME_ASSIGN_OR_RETURN(const at::Device device, OpenDevice(command.device));
  TOME_ASSIGN_OR_RETURN(TrainableVit model, TrainableVit::Open(command.from, device));
  std::optional<TrainableVit> teacher;
  if (!command.teacher.empty()) {
    TOME_ASSIGN_OR_RETURN(teacher, TrainableVit::Open(command.teacher, device));
  }
  TOME_ASSIGN_OR_RETURN(PictureFolder folder, ListPictures(command.images));
  TOME_ASSIGN_OR_RETURN(
      std::unique_ptr<PictureLoader> pictures,
      PictureLoader::Create(
          std::move(folder), Enlarged(model.vit().preprocessing, kEnlargement),
          {.memory_bytes = command.memory_mib << 20, .threads = command.threads}));
  for (const std::string& line : pictures->unreadable()) {
    std::fprintf(stderr, "tome-lab: left out: %s\n", line.c_str());
  }
  if (pictures->size() < command.training.batch) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--batch: ", command.training.batch, " pictures, but --images holds ", pictures->size()));
  }
  std::printf("%lld pictures of %d labels, %lld of them in memory\n",
              static_cast<long long>(pictures->size()), pictures->labels(),
              static_cast<long long>(pictures->in_memory()));
  TOME_ASSIGN_OR_RETURN(Training training, Training::Create(std::move(model), std::move(teacher),
                                                            pictures->labels(), command.training));
  Run run(command, std::move(training), std::move(pictures), device);
  TOME_RETURN_IF_ERROR(run.Begin(/*goes_on=*/left == Left::kUnfinished));
  // Only from here on there is something to save.
  const auto stop = [](int) { asked_to_stop = true; };
  std::signal(SIGTERM, stop);
  std::signal(SIGINT, stop);
  TOME_RETURN_IF_ERROR(run.Train());
  std::printf("%s holds the trained checkpoint\n", command.out.c_str());
  return absl::OkStatus();
}

}  // namespace tome
