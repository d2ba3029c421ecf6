#ifndef TOME_SERVER_MODEL_TIMM_CONFIG_H_
#define TOME_SERVER_MODEL_TIMM_CONFIG_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/model/vit_config.h"

namespace tome {

// Reads the text of a timm directory's config.json (timm.models.save_for_hf and push_to_hf_hub
// write it). model_args come before pretrained_cfg, as in timm; what pretrained_cfg leaves out has
// timm's defaults. INVALID_ARGUMENT names the key, its value and what is supported: an argument
// that would change the computation is never passed over.
absl::StatusOr<VitConfig> ReadTimmConfig(absl::string_view text);

}  // namespace tome

#endif  // TOME_SERVER_MODEL_TIMM_CONFIG_H_
