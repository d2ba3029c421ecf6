#include "server/lab/ablate_command.h"

#include <ATen/Parallel.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <future>
#include <memory>
#include <optional>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "server/base/status.h"
#include "server/lab/ablation.h"
#include "server/lab/atomic_file.h"
#include "server/lab/picture_folder.h"
#include "server/lab/picture_loader.h"
#include "server/model/checkpoint.h"
#include "server/model/precision.h"

namespace tome {
namespace {

constexpr absl::Duration kBetweenProgress = absl::Seconds(10);
constexpr char kCaption[] =
    "default: similarity of keys, cosine, mean of the heads, alternating sets, weighted mean; "
    "times are the reference pass's, which no server runs\n";

// Leaves `limit` of the folder's pictures, in their order: the same ones for the same seed.
void DrawPictures(PictureFolder& folder, int64_t limit, int64_t seed) {
  if (limit == 0 || limit >= static_cast<int64_t>(folder.pictures.size())) return;
  std::mt19937_64 random(static_cast<uint64_t>(seed));
  std::vector<PictureFile> drawn;
  std::ranges::sample(folder.pictures, std::back_inserter(drawn), limit, random);
  folder.pictures = std::move(drawn);
}

std::vector<int64_t> PicturesOfBatch(int64_t first, int64_t batch, int64_t pictures) {
  std::vector<int64_t> places;
  for (int64_t i = first; i < std::min(first + batch, pictures); ++i) places.push_back(i);
  return places;
}

absl::Status RunBatches(PictureLoader& pictures, int64_t batch, Ablation& ablation) {
  absl::Time shown = absl::Now();
  for (int64_t first = 0; first < pictures.size(); first += batch) {
    TOME_ASSIGN_OR_RETURN(const at::Tensor pixels,
                          pictures.Load(PicturesOfBatch(first, batch, pictures.size())).get());
    ablation.Add(pixels);
    if (absl::Now() - shown < kBetweenProgress) continue;
    shown = absl::Now();
    std::fprintf(stderr, "%lld of %lld pictures\n",
                 static_cast<long long>(std::min(first + batch, pictures.size())),
                 static_cast<long long>(pictures.size()));
  }
  return absl::OkStatus();
}

std::string Percent(const std::optional<double>& share) {
  return share.has_value() ? absl::StrFormat("%.1f%%", 100.0 * *share) : "-";
}

void PrintRow(const AblationRow& row) {
  if (!row.not_for_model.empty()) {
    std::printf("%-26s not for this model: %s\n", row.variant.c_str(), row.not_for_model.c_str());
    return;
  }
  const AblationRow::Figures& figures = row.figures;
  std::printf("%-26s %8s %8.4f %8.4f %8.4f %8.4f %9.2f %9.2f\n", row.variant.c_str(),
              Percent(figures.accuracy).c_str(), figures.cosine, figures.cosine_p5, figures.centred,
              figures.centred_p5, row.milliseconds, row.reduction_milliseconds);
}

// A table for each r, the row of no merging at the head of each.
void Print(const std::vector<AblationRow>& rows, const VitDescription& vit) {
  std::fputs(kCaption, stdout);
  for (size_t i = 1; i < rows.size(); ++i) {
    if (rows[i].r != rows[i - 1].r || i == 1) {
      std::printf("\nr = %d of %d tokens\n%-26s %8s %8s %8s %8s %8s %9s %9s\n", rows[i].r,
                  vit.tokens(), "", "accuracy", "cosine", "p5", "centred", "p5", "ms/image",
                  "reducing");
      PrintRow(rows.front());
    }
    PrintRow(rows[i]);
  }
}

std::string Csv(const std::vector<AblationRow>& rows) {
  std::string text =
      "r,variant,accuracy,cosine,cosine_p5,centred,centred_p5,milliseconds,reduction_milliseconds,"
      "not_for_model\n";
  for (const AblationRow& row : rows) {
    absl::StrAppendFormat(&text, "%d,\"%s\",", row.r, row.variant);
    if (!row.not_for_model.empty()) {
      absl::StrAppend(&text, ",,,,,,,", row.not_for_model, "\n");
      continue;
    }
    const AblationRow::Figures& figures = row.figures;
    if (figures.accuracy.has_value()) absl::StrAppendFormat(&text, "%.6f", *figures.accuracy);
    absl::StrAppendFormat(&text, ",%.6f,%.6f,%.6f,%.6f,%.4f,%.4f,\n", figures.cosine,
                          figures.cosine_p5, figures.centred, figures.centred_p5, row.milliseconds,
                          row.reduction_milliseconds);
  }
  return text;
}

}  // namespace

absl::Status RunAblate(const AblateCommand& command) {
  at::set_num_threads(command.threads);
  TOME_ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(command.checkpoint));
  const VitDescription& vit = checkpoint.vit();
  TOME_ASSIGN_OR_RETURN(PictureFolder folder, ListPictures(command.images));
  DrawPictures(folder, command.limit, command.seed);
  TOME_ASSIGN_OR_RETURN(
      std::unique_ptr<PictureLoader> pictures,
      PictureLoader::Create(std::move(folder), vit.preprocessing, {.threads = command.threads}));
  for (const std::string& line : pictures->unreadable()) {
    std::fprintf(stderr, "tome-lab: left out: %s\n", line.c_str());
  }
  // A share of n pictures is known to within sqrt(p (1 - p) / n).
  std::printf("%lld pictures; accuracies have a standard error of up to %.1f points\n",
              static_cast<long long>(pictures->size()),
              50.0 / std::sqrt(static_cast<double>(pictures->size())));

  Ablation ablation(vit, LoadVitWeights(checkpoint.tensors, kFloat), command.r,
                    static_cast<uint64_t>(command.seed));
  TOME_RETURN_IF_ERROR(RunBatches(*pictures, command.batch, ablation));
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < pictures->size(); ++i) labels.push_back(pictures->label(i));
  const std::vector<AblationRow> rows = ablation.Rows(at::tensor(labels));
  Print(rows, vit);
  return command.out.empty() ? absl::OkStatus() : WriteFileAtOnce(command.out, Csv(rows));
}

}  // namespace tome
