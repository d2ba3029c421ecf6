#ifndef TOME_SERVER_MODEL_TIMM_ARCHITECTURE_H_
#define TOME_SERVER_MODEL_TIMM_ARCHITECTURE_H_

#include <optional>

#include "absl/strings/string_view.h"

#include "server/model/vit_description.h"
#include "server/model/vit_family.h"

namespace tome {

// What timm's code, and neither config.json nor the tensors, says of an architecture.
struct TimmArchitecture {
  const VitFamily* family = nullptr;
  int heads = 0;
  VitActivation activation = VitActivation::kGelu;
  VitPooling pooling = VitPooling::kClassToken;
};

// Of an architecture by its name: <model>_<size>_[distilled_]patch<side>_<kind>, with the kinds
//   <input side>                              vit, deit and deit3
//   dinov2, reg4_dinov2
//   clip_<input side>, clip_quickgelu_<input side>
//   siglip_<input side>, siglip_gap_<input side>
// Other names stand for models that differ in ways shapes do not show: nullopt.
std::optional<TimmArchitecture> FindTimmArchitecture(absl::string_view name);

}  // namespace tome

#endif  // TOME_SERVER_MODEL_TIMM_ARCHITECTURE_H_
