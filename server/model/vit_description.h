#ifndef TOME_SERVER_MODEL_VIT_DESCRIPTION_H_
#define TOME_SERVER_MODEL_VIT_DESCRIPTION_H_

#include <string>

#include "absl/status/statusor.h"

#include "server/base/preprocessing.h"
#include "server/model/safetensors.h"
#include "server/model/timm_config.h"

namespace tome {

// What the final tokens become.
enum class VitPooling {
  kClassToken,         // its row
  kMeanOfClassTokens,  // class and distillation token, as timm pools a distilled DeiT
  kMeanOfPatches,      // of the patch tokens, each weighted by the patches it stands for
};

// Everything that the pass needs to know of a vision transformer beside its weights. Parameter
// names are timm's.
struct VitDescription {
  std::string architecture;
  int patch_size = 0;
  int grid_height = 0;
  int grid_width = 0;
  int token_dim = 0;       // D
  int mlp_hidden_dim = 0;  // the MLP's inner width
  int heads = 0;
  int blocks = 0;
  bool class_token = false;
  bool distillation_token = false;
  VitPooling pooling = VitPooling::kClassToken;
  // The last norm stands behind the pooling (fc_norm.*) and not before it (norm.*).
  bool norm_after_pooling = false;
  double norm_epsilon = 0.0;
  // log(size) of each key is added to its logit (ToMe, section 3).
  bool proportional_attention = true;
  Preprocessing preprocessing;

  int prefix_tokens() const { return (class_token ? 1 : 0) + (distillation_token ? 1 : 0); }
  int patches() const { return grid_height * grid_width; }
  int tokens() const { return prefix_tokens() + patches(); }
};

// Reads what the tensors' shapes tell, adds what `config` and, by the architecture's name, this
// reader know, and checks that every tensor is there with the right shape and a floating-point
// type, and that none is there that the pass would leave out (the classifier head.* and head_dist.*
// may be). INVALID_ARGUMENT names the missing or odd tensor, or the key of config.json.
absl::StatusOr<VitDescription> DescribeVit(const TimmConfig& config,
                                           const SafetensorsFile& tensors);

}  // namespace tome

#endif  // TOME_SERVER_MODEL_VIT_DESCRIPTION_H_
