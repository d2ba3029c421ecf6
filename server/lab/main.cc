#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "server/base/available_cores.h"
#include "server/lab/ablate_command.h"
#include "server/lab/new_checkpoint.h"
#include "server/lab/train_command.h"

namespace tome {
namespace {

constexpr int kFailed = 1;
constexpr int kWrongCommandLine = 2;
constexpr int kStopped = 3;

constexpr char kTrainHelp[] =
    R"(What to learn is a sum of objectives by their weights: --supervised (folders are labels), --contrastive (two
views of a picture are alike) and --distillation (the embedding at r is that at r = 0, of the model or of --teacher).

A run that was killed or stopped goes on with the same command and --resume, to the same weights as one that was not
(on a GPU, where sums have no fixed order, to weights as good). Ended, it is left as it is.
SIGTERM and SIGINT end it behind a step that is saved, with exit status 3.

Examples:
  tome-lab new start --width 192 --depth 12
  tome-lab train --from start --images pictures/ --out model --supervised 1 --contrastive 1 --r 0,4,8 --steps 5000
  tome-lab train --from dinov2-s14 --images pictures/ --out tuned --distillation 1 --r 4,8,12 --learning-rate 1e-5)";

constexpr char kAblateHelp[] =
    R"(Each row differs from the server's way in one thing, or is another way to have as many tokens fewer. accuracy: the share
of pictures whose nearest other picture, embedded alike, is of the same subfolder. cosine: to the embedding without
merging, mean and 5th percentile; centred: the same after the common mean was taken away, without which it flatters.
ms/image and the share of it that goes into reducing the tokens are medians over batches, of passes in mixed order.

Example:
  tome-lab ablate model --images pictures/ --r 8,16 --limit 500 --out ablation.csv)";

void AddNew(CLI::App& app, NewVit& vit, std::string& directory) {
  app.add_option("OUT", directory, "Checkpoint directory to write")->required();
  app.add_option("--width", vit.width, "Dimensions of a token")
      ->check(CLI::Range(4, 8192))
      ->capture_default_str();
  app.add_option("--depth", vit.depth, "Blocks")->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--heads", vit.heads)->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--mlp-ratio", vit.mlp_ratio, "Hidden dimensions of the MLP, times the width")
      ->check(CLI::Range(1, 16))
      ->capture_default_str();
  app.add_option("--patch-size", vit.patch_size, "Pixels a side")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--image-size", vit.image_size, "Pixels a side")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--crop-mode", vit.crop_mode, "How a picture becomes square, as timm has it")
      ->check(CLI::IsMember({"squash", "center", "border"}))
      ->capture_default_str();
  app.add_option("--seed", vit.seed)->capture_default_str();
}

void AddObjectives(CLI::App& app, TrainingOptions& options) {
  const auto add = [&](const char* name, double& weight, const char* help) {
    app.add_option(name, weight, help)
        ->type_name("WEIGHT")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
  };
  add("--supervised", options.supervised, "Folders are labels");
  add("--contrastive", options.contrastive, "Two views of a picture find each other");
  add("--distillation", options.distillation, "The embedding at r is that at r = 0");
  app.add_option("--temperature", options.temperature, "Of the contrastive objective")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--mixup", options.mixup,
                 "Share of the steps whose pictures and labels are blended, two by two")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--r", options.r, "R,R,...: each view of a step draws its own")
      ->delimiter(',')
      ->check(CLI::Range(0, 1 << 20))
      ->type_name("LIST")
      ->default_str("0");
}

void AddOptimisation(CLI::App& app, TrainingOptions& options) {
  app.add_option("--steps", options.steps)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--batch", options.batch, "Pictures a step")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--warm-up", options.warm_up_steps, "Steps until the full learning rate")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--optimizer",
         [&options](const std::string& name) {
           options.algorithm = name == "muon" ? Algorithm::kMuon : Algorithm::kAdamW;
         },
         "Of the layers' weights; adamw steps everything else")
      ->check(CLI::IsMember({"adamw", "muon"}))
      ->default_str("adamw");
  app.add_option("--learning-rate", options.learning_rate, "At its peak; it ends at 0")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--weight-decay", options.weight_decay)
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--seed", options.seed)->capture_default_str();
}

void AddViews(CLI::App& app, Augmentation& views) {
  app.add_option("--smallest-crop", views.smallest_crop, "Of the picture's area")
      ->check(CLI::Range(0.01, 1.0))
      ->capture_default_str();
  app.add_option("--rotation", views.rotation, "Degrees to either side")
      ->check(CLI::Range(0.0, 180.0))
      ->capture_default_str();
  app.add_flag("--flip,!--no-flip", views.flip, "Left and right, every other time")
      ->default_str("true");
  const auto add = [&](const char* name, double& reach) {
    app.add_option(name, reach, "Factor 1 - X to 1 + X")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
  };
  add("--brightness", views.brightness);
  add("--contrast", views.contrast);
  add("--saturation", views.saturation);
  app.add_option("--hue", views.hue, "Of the circle of hues, to either side")
      ->check(CLI::Range(0.0, 0.5))
      ->capture_default_str();
}

void AddTrain(CLI::App& app, TrainCommand& command) {
  app.footer(kTrainHelp);
  app.add_option("--from", command.from, "Checkpoint to begin with; tome-lab new writes one")
      ->required();
  app.add_option("--images", command.images, "Folder of JPEG, PNG and WebP files")->required();
  app.add_option("--out", command.out, "Checkpoint directory to write")->required();
  app.add_option("--teacher", command.teacher, "Frozen checkpoint of the distillation");
  AddObjectives(app, command.training);
  AddOptimisation(app, command.training);
  AddViews(app, command.training.augmentation);
  app.add_option_function<std::string>(
         "--dtype",
         [&command](const std::string& name) {
           command.training.compute_type =
               name == "bfloat16" ? c10::ScalarType::BFloat16 : c10::ScalarType::Float;
         },
         "Of the pass; weights learn in float32 either way")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->default_str("float32");
  app.add_option_function<std::string>(
         "--save-dtype",
         [&command](const std::string& name) {
           command.stored = name == "float16"    ? StoredFloat::kFloat16
                            : name == "bfloat16" ? StoredFloat::kBFloat16
                                                 : StoredFloat::kFloat32;
         },
         "Of the checkpoint that is written")
      ->check(CLI::IsMember({"float32", "float16", "bfloat16"}))
      ->default_str("float32");
  app.add_option("--device", command.device, "cpu, cuda or cuda:N")->capture_default_str();
  app.add_option("--threads", command.threads, "That compute, and as many that decode")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--memory-mib", command.memory_mib, "For decoded pictures")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--save-seconds", command.save_seconds,
                 "Between two states, the last of which a kill leaves; 0: one behind every step")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_flag("--resume", command.resume,
               "Go on with OUT where it holds a training, unless that has ended");
}

void AddAblate(CLI::App& app, AblateCommand& command) {
  app.footer(kAblateHelp);
  app.add_option("CHECKPOINT", command.checkpoint, "Directory")->required();
  app.add_option("--images", command.images, "Folder whose subfolders are labels")->required();
  app.add_option("--r", command.r, "R,R,...: a table for each")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 20))
      ->type_name("LIST")
      ->required();
  app.add_option("--out", command.out, "CSV file to write");
  app.add_option("--limit", command.limit, "Pictures, drawn from all of them; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--batch", command.batch, "Pictures a pass")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--seed", command.seed)->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option("--threads", command.threads, "That compute, and as many that decode")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
}

int ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return 0;
  const std::string message(status.message());
  std::fprintf(stderr, "tome-lab: %s\n", message.c_str());
  return status.code() == absl::StatusCode::kCancelled ? kStopped : kFailed;
}

int Main(int argc, char** argv) {
  CLI::App app("Trains vision transformers with Token Merging, and compares ways to merge.",
               "tome-lab");
  app.require_subcommand(1);
  NewVit vit;
  std::string directory;
  CLI::App& create = *app.add_subcommand("new", "Write a checkpoint to train from nothing");
  AddNew(create, vit, directory);
  AblateCommand ablate;
  ablate.threads = AvailableCores();
  CLI::App& ablation =
      *app.add_subcommand("ablate", "Compare ways to match and merge tokens, and to drop them");
  AddAblate(ablation, ablate);
  TrainCommand train;
  train.threads = AvailableCores();
  CLI::App& training = *app.add_subcommand("train", "Train or fine-tune a checkpoint");
  AddTrain(training, train);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrongCommandLine;
  }
  if (create.parsed()) {
    const absl::Status checked = CheckNewVit(vit);
    return ExitCodeOf(checked.ok() ? WriteNewCheckpoint(vit, directory) : checked);
  }
  if (ablation.parsed()) return ExitCodeOf(RunAblate(ablate));
  const TrainingOptions& options = train.training;
  if (options.supervised + options.contrastive + options.distillation == 0.0) {
    std::fprintf(stderr,
                 "tome-lab: at least one of --supervised, --contrastive and --distillation must be "
                 "above 0\n");
    return kWrongCommandLine;
  }
  if (options.warm_up_steps >= options.steps) {
    std::fprintf(stderr, "tome-lab: --warm-up: %lld is not less than --steps, %lld\n",
                 static_cast<long long>(options.warm_up_steps),
                 static_cast<long long>(options.steps));
    return kWrongCommandLine;
  }
  return ExitCodeOf(RunTrain(train));
}

}  // namespace
}  // namespace tome

int main(int argc, char** argv) {
  try {
    return tome::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tome-lab: %s\n", error.what());
    return tome::kFailed;
  }
}
