#ifndef TOME_SERVER_MODEL_CHECKPOINT_H_
#define TOME_SERVER_MODEL_CHECKPOINT_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"

#include "server/merge/merge_profile.h"
#include "server/model/vit_tensors.h"

namespace tome {

// A checkpoint directory, read and checked: what the model is, and its tensors still in the files.
struct Checkpoint {
  const VitDescription& vit() const { return tensors.vit(); }

  VitTensors tensors;
  // TensorFiles::Digest.
  std::string weights_digest;
  // What merging costs, if it was measured.
  std::optional<MergeProfile> profile;
};

// Opens a directory as timm writes it (config.json, model.safetensors) or transformers (beside them
// preprocessor_config.json or processor_config.json; shards with their index instead of one file),
// and profile.json if `tome calibrate` has written one, which must be of these weights. An error
// names the file, then the tensor or key in it that is missing, odd or not supported, never the
// directory.
absl::StatusOr<Checkpoint> OpenCheckpoint(const std::string& directory);

}  // namespace tome

#endif  // TOME_SERVER_MODEL_CHECKPOINT_H_
