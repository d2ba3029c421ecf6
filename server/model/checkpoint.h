#ifndef TOME_SERVER_MODEL_CHECKPOINT_H_
#define TOME_SERVER_MODEL_CHECKPOINT_H_

#include <string>

#include "absl/status/statusor.h"

#include "server/model/safetensors.h"
#include "server/model/vit_description.h"

namespace tome {

// A checkpoint directory, read and checked: what the model is, and its tensors still in the file.
struct Checkpoint {
  VitDescription vit;
  SafetensorsFile tensors;
  // Hex SHA-256 of model.safetensors, as sha256sum prints it.
  std::string weights_digest;
};

// Opens a timm directory: config.json and model.safetensors. An error names the file, then the
// tensor or key in it that is missing, odd or not supported, never the directory.
absl::StatusOr<Checkpoint> OpenCheckpoint(const std::string& directory);

}  // namespace tome

#endif  // TOME_SERVER_MODEL_CHECKPOINT_H_
