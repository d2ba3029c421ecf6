#ifndef TOME_SERVER_MODEL_TRANSFORMERS_CONFIG_H_
#define TOME_SERVER_MODEL_TRANSFORMERS_CONFIG_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/model/vit_config.h"

namespace tome {

// Whether the text of a config.json is one of transformers: it has a model_type.
bool IsTransformersConfig(absl::string_view text);

// Reads the text of a transformers directory's config.json, all but VitConfig::preprocessing, which
// stands in a file of its own. Of a model of two towers, the vision tower's part. What it leaves
// out has the family's defaults. INVALID_ARGUMENT names the key, its value and what is supported.
absl::StatusOr<VitConfig> ReadTransformersConfig(absl::string_view text);

}  // namespace tome

#endif  // TOME_SERVER_MODEL_TRANSFORMERS_CONFIG_H_
