#ifndef TOME_SERVER_MODEL_VIT_DESCRIPTION_H_
#define TOME_SERVER_MODEL_VIT_DESCRIPTION_H_

#include <string>

#include "server/base/preprocessing.h"

namespace tome {

// What the final tokens become.
enum class VitPooling {
  kClassToken,         // its row
  kMeanOfClassTokens,  // class and distillation token: a distilled DeiT
  kMeanOfPatches,      // of the patch tokens, each weighted by the patches it stands for
  kAttention,          // one learned query attends to all tokens: SigLIP
};

// Of the MLPs, that of the attention pooling included.
enum class VitActivation {
  kGelu,       // x Phi(x), by the error function
  kGeluTanh,   // its approximation by tanh
  kQuickGelu,  // x sigmoid(1.702 x): OpenAI's CLIP
};

enum class VitMlp {
  kPlain,   // fc2(activation(fc1(x)))
  kSwiGlu,  // fc2(silu(gate) * up), gate and up the two halves of fc1(x): DINOv2 giant
};

// Everything that a pass needs to know of a vision transformer beside its weights. Plain data.
//
//   x = patches W + b, + position embedding; prefix tokens in front
//   x = norm(x)                                    if norm_before_blocks
//   each block: x += projection(attention(norm1(x))); merge; x += mlp(norm2(x))
//   x = norm(x); pool; project                     or pool; norm; project, if norm_after_pooling
//
// LayerScale is no matter of the pass: VitTensors folds it into the weights.
struct VitDescription {
  std::string architecture;  // the checkpoint's own word
  std::string family;        // "vit", "deit", "mae", "dinov2", "clip", "siglip"
  int patch_size = 0;
  int grid_height = 0;
  int grid_width = 0;
  int token_dim = 0;       // D
  int mlp_hidden_dim = 0;  // what fc2 reads, in the blocks and in the attention pooling
  int heads = 0;           // in the blocks and in the attention pooling
  int blocks = 0;
  bool class_token = false;
  bool distillation_token = false;
  int register_tokens = 0;
  bool norm_before_blocks = false;
  VitActivation activation = VitActivation::kGelu;
  VitMlp mlp = VitMlp::kPlain;  // of the blocks; that of the attention pooling is plain
  VitPooling pooling = VitPooling::kClassToken;  // the family's own
  bool attention_pooling = false;                // its weights are there
  bool norm_after_pooling = false;
  // Width of the embedding behind the projection of the family's own pooling and of the class
  // token; 0: there is no projection. A mean of patches is never projected.
  int projection_dim = 0;
  double norm_epsilon = 0.0;
  // log(size) of each key is added to its logit (ToMe, section 3), in the attention pooling, too.
  bool proportional_attention = true;
  Preprocessing preprocessing;

  // In this order in front of the patches: class, distillation, registers.
  int prefix_tokens() const {
    return (class_token ? 1 : 0) + (distillation_token ? 1 : 0) + register_tokens;
  }
  int patches() const { return grid_height * grid_width; }
  int tokens() const { return prefix_tokens() + patches(); }
  int embedding_dim() const { return projection_dim > 0 ? projection_dim : token_dim; }
  // Outputs of fc1.
  int fc1_dim() const { return mlp == VitMlp::kSwiGlu ? 2 * mlp_hidden_dim : mlp_hidden_dim; }
};

}  // namespace tome

#endif  // TOME_SERVER_MODEL_VIT_DESCRIPTION_H_
