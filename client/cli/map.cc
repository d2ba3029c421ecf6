#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "client/cli/commands.h"
#include "client/cli/input_files.h"
#include "client/cli/json.h"
#include "client/cli/merge_map_picture.h"
#include "client/cli/png_file.h"
#include "client/cli/replace_file.h"

namespace tome::client {
namespace {

// The schedule that merges what `merged_per_block` says, up to `block` and not behind it.
Schedule UpTo(int block, const std::vector<int>& merged_per_block) {
  PerBlockSchedule schedule{{merged_per_block.begin(), merged_per_block.end()}};
  schedule.r.resize(block);
  return schedule;
}

// The picture's embedding with map and pixels, after the block that is asked for.
absl::StatusOr<Embedding> EmbedWithMap(Client& client, const GlobalOptions& global,
                                       const MapCommand& command, const std::string& bytes) {
  EmbedOptions options;
  options.timeout = global.timeout;
  options.model = command.model;
  options.schedule = command.schedule;
  options.output.merge_map = true;
  options.output.model_pixels = true;
  absl::StatusOr<Embedding> embedding = client.Embed(EncodedImage{bytes}, options);
  if (!embedding.ok() || command.block == 0) return embedding;
  options.schedule = UpTo(command.block, embedding->merged_per_block);
  return client.Embed(EncodedImage{bytes}, options);
}

}  // namespace

ExitCode RunMap(const GlobalOptions& global, const MapCommand& command) {
  const absl::Status writable = CheckReplaceable("--out", command.out);
  if (!writable.ok()) return ReportUsageError(global, writable);
  absl::StatusOr<std::unique_ptr<Client>> client = Connect(global);
  if (!client.ok()) return ReportUsageError(global, client.status());
  const absl::StatusOr<ModelAndLimits> model =
      (*client)->GetModel(command.model, FirstCall(global));
  if (!model.ok()) return ReportCallError(global, model.status());
  if (command.block > model->model.blocks) {
    return ReportUsageError(global, absl::InvalidArgumentError(
                                        absl::StrCat("--block: ", command.block, ", the model has ",
                                                     model->model.blocks, " blocks")));
  }
  const absl::StatusOr<std::string> bytes =
      ReadImageFile(command.image, model->limits.encoded_bytes);
  if (!bytes.ok()) return ReportUsageError(global, bytes.status());

  const absl::StatusOr<Embedding> embedding = EmbedWithMap(**client, global, command, *bytes);
  if (!embedding.ok()) return ReportCallError(global, embedding.status());
  const absl::StatusOr<RgbImage> picture = DrawMergeMapOf(*embedding, model->model.patch_size);
  if (!picture.ok()) return ReportCallError(global, picture.status());
  const absl::StatusOr<std::string> png = PngBytes(*picture);
  if (!png.ok()) return ReportCallError(global, png.status());
  const absl::Status written = ReplaceFile(command.out, *png);
  if (!written.ok()) return ReportCallError(global, written);
  if (global.json) {
    std::cout << OneLine({{"out", command.out},
                          {"merged_per_block", embedding->merged_per_block},
                          {"tokens_in", embedding->tokens_in},
                          {"tokens_out", embedding->tokens_out}})
              << "\n";
  } else {
    std::cout << command.out << ": " << embedding->tokens_in << " -> " << embedding->tokens_out
              << " tokens\n";
  }
  return kExitOk;
}

}  // namespace tome::client
