#ifndef TOME_SERVER_MODEL_TIMM_CONFIG_H_
#define TOME_SERVER_MODEL_TIMM_CONFIG_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/base/preprocessing.h"

namespace tome {

// What a timm directory's config.json says that tensor shapes do not (timm.models.save_for_hf and
// push_to_hf_hub write it).
struct TimmConfig {
  std::string architecture;    // "vit_small_patch16_224"
  std::string pretrained_tag;  // "augreg_in21k_ft_in1k", "mae"; may be empty
  std::string global_pool;     // "token" or "avg"
  std::optional<int> num_heads;
  Preprocessing preprocessing;
};

// Reads the text of a config.json. model_args come before pretrained_cfg, as in timm; what
// pretrained_cfg leaves out has timm's defaults. INVALID_ARGUMENT names the key, its value and what
// is supported: an argument that would change the computation is never passed over.
absl::StatusOr<TimmConfig> ParseTimmConfig(absl::string_view text);

}  // namespace tome

#endif  // TOME_SERVER_MODEL_TIMM_CONFIG_H_
