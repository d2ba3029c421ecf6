#include "server/model/checkpoint.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include "server/base/status.h"
#include "server/model/json_fields.h"
#include "server/model/processor_config.h"
#include "server/model/profile_file.h"
#include "server/model/timm_config.h"
#include "server/model/transformers_config.h"

namespace tome {
namespace {

constexpr char kConfigFile[] = "config.json";
constexpr char kPreprocessorFile[] = "preprocessor_config.json";
constexpr char kProcessorFile[] = "processor_config.json";
constexpr char kProfileFile[] = "profile.json";

absl::Status InFile(absl::string_view file, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(file, ": ", status.message()));
}

// A file of the directory, through `read`; errors name the file.
template <typename Read>
auto ReadFile(const std::string& directory, absl::string_view file, const Read& read)
    -> decltype(read(std::string())) {
  const absl::StatusOr<std::string> text = ReadTextFile(absl::StrCat(directory, "/", file));
  if (!text.ok()) return InFile(file, text.status());
  auto result = read(*text);
  if (!result.ok()) return InFile(file, result.status());
  return result;
}

absl::StatusOr<Preprocessing> ReadPreprocessing(const std::string& directory,
                                                const VitFamily& family) {
  const auto read = [&](const std::string& text) { return ReadProcessorConfig(text, family); };
  absl::StatusOr<Preprocessing> own = ReadFile(directory, kPreprocessorFile, read);
  if (own.status().code() != absl::StatusCode::kNotFound) return own;
  // Processors of text and pictures together are one file since transformers 5.
  absl::StatusOr<Preprocessing> joint = ReadFile(directory, kProcessorFile, read);
  return joint.status().code() == absl::StatusCode::kNotFound ? own : joint;
}

absl::StatusOr<VitConfig> ReadConfig(const std::string& directory) {
  TOME_ASSIGN_OR_RETURN(
      VitConfig config, ReadFile(directory, kConfigFile, [](const std::string& text) {
        return IsTransformersConfig(text) ? ReadTransformersConfig(text) : ReadTimmConfig(text);
      }));
  if (!config.family->model_type.empty()) {
    TOME_ASSIGN_OR_RETURN(config.preprocessing, ReadPreprocessing(directory, *config.family));
  }
  return config;
}

absl::StatusOr<std::optional<MergeProfile>> ReadProfileIfThere(const std::string& directory,
                                                               const std::string& digest) {
  const auto read = [&](const std::string& text) { return ReadProfile(text, digest); };
  absl::StatusOr<MergeProfile> profile = ReadFile(directory, kProfileFile, read);
  if (absl::IsNotFound(profile.status())) return std::nullopt;
  if (!profile.ok()) return profile.status();
  return *std::move(profile);
}

}  // namespace

absl::StatusOr<Checkpoint> OpenCheckpoint(const std::string& directory) {
  TOME_ASSIGN_OR_RETURN(const VitConfig config, ReadConfig(directory));
  // What follows names its file, or a tensor or a key of config.json by itself.
  TOME_ASSIGN_OR_RETURN(TensorFiles files, TensorFiles::Open(directory));
  TOME_ASSIGN_OR_RETURN(VitTensors tensors, VitTensors::Open(config, std::move(files)));
  TOME_ASSIGN_OR_RETURN(std::string digest, tensors.files().Digest());
  TOME_ASSIGN_OR_RETURN(std::optional<MergeProfile> profile, ReadProfileIfThere(directory, digest));
  return Checkpoint{std::move(tensors), std::move(digest), std::move(profile)};
}

}  // namespace tome
