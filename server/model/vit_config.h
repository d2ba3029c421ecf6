#ifndef TOME_SERVER_MODEL_VIT_CONFIG_H_
#define TOME_SERVER_MODEL_VIT_CONFIG_H_

#include <optional>
#include <string>

#include "server/base/preprocessing.h"
#include "server/model/vit_description.h"
#include "server/model/vit_family.h"

namespace tome {

struct ImageSize {
  int height = 0;
  int width = 0;
  friend bool operator==(const ImageSize&, const ImageSize&) = default;
};

// What a checkpoint's JSON files say that the shapes of its tensors do not, in whichever library's
// words: timm_config.h and transformers_config.h read it.
struct VitConfig {
  std::string architecture;
  const VitFamily* family = nullptr;
  int heads = 0;
  double norm_epsilon = 0.0;
  VitActivation activation = VitActivation::kGelu;
  VitPooling pooling = VitPooling::kClassToken;
  bool proportional_attention = true;
  bool qkv_bias = true;
  bool attention_projection_bias = true;
  // VitNames::projection, where the checkpoint has it, is that of the embedding. In timm it stands
  // in the classifier's place, and often is one.
  bool projects = false;
  // The input size that the position embedding was stored for; if the file says.
  std::optional<ImageSize> stored_image_size;
  std::optional<int> blocks;  // if the file says
  Preprocessing preprocessing;
  // Where these were read, for whoever finds them not to fit the tensors.
  std::string heads_key;
  std::string blocks_key;
  std::string input_size_key;
};

}  // namespace tome

#endif  // TOME_SERVER_MODEL_VIT_CONFIG_H_
