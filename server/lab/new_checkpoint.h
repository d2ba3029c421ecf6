#ifndef TOME_SERVER_LAB_NEW_CHECKPOINT_H_
#define TOME_SERVER_LAB_NEW_CHECKPOINT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace tome {

// A vision transformer to train from nothing.
struct NewVit {
  int width = 192;  // D; REQUIRES: a multiple of 4 and of heads
  int depth = 12;
  int heads = 3;
  int mlp_ratio = 4;
  int patch_size = 16;
  int image_size = 160;  // REQUIRES: a multiple of patch_size
  // How a picture that is not square becomes one: "squash", "center" or "border" of timm.
  std::string crop_mode = "squash";
  uint64_t seed = 0;
};

// INVALID_ARGUMENT naming the option where a REQUIRES does not hold.
absl::Status CheckNewVit(const NewVit& vit);

// Writes a timm directory with its first weights: patch tokens without a class token, pooled by
// their mean, a norm behind it. Attention begins as trained networks' ends ("Mimetic initialization
// of self-attention layers", Trockman and Kolter, 2023: queries meet keys near the identity, values
// pass the projection near its negative) and positions as sines, which small sets of pictures teach
// slowly. The same seed gives the same bytes. REQUIRES: CheckNewVit.
absl::Status WriteNewCheckpoint(const NewVit& vit, const std::string& directory);

}  // namespace tome

#endif  // TOME_SERVER_LAB_NEW_CHECKPOINT_H_
