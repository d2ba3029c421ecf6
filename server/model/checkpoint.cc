#include "server/model/checkpoint.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include "server/base/status.h"
#include "server/model/json_fields.h"
#include "server/model/timm_config.h"

namespace tome {
namespace {

constexpr char kConfigFile[] = "config.json";

absl::Status InFile(absl::string_view file, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(file, ": ", status.message()));
}

}  // namespace

absl::StatusOr<Checkpoint> OpenCheckpoint(const std::string& directory) {
  const absl::StatusOr<std::string> text = ReadTextFile(absl::StrCat(directory, "/", kConfigFile));
  if (!text.ok()) return InFile(kConfigFile, text.status());
  const absl::StatusOr<VitConfig> config = ReadTimmConfig(*text);
  if (!config.ok()) return InFile(kConfigFile, config.status());
  // What follows names its file, or a tensor or a key of config.json by itself.
  TOME_ASSIGN_OR_RETURN(TensorFiles files, TensorFiles::Open(directory));
  TOME_ASSIGN_OR_RETURN(std::string digest, files.Digest());
  TOME_ASSIGN_OR_RETURN(VitTensors tensors, VitTensors::Open(*config, std::move(files)));
  return Checkpoint{std::move(tensors), std::move(digest)};
}

}  // namespace tome
